import { sealWebhook } from "./app-webhook.ts";
import { apiDeps, type DoorParts, opteryxDeps } from "./app-api.ts";
import { optexityDeps } from "./app-optexity.ts";
import { setMaintenance } from "./engine/maintenance.ts";
import type { Rooms } from "./app-rooms.ts";
import type { Gate } from "./http/gate.ts";
import type { Streams } from "./http/streams.ts";
import type { Surface } from "./http/surface.ts";
import type { AnderaDeps } from "./surfaces/andera/deps.ts";
import type { SurfaceName } from "./settings/surface-names.ts";
import { anderaSurface } from "./surfaces/andera/routes.ts";
import { apiSurface } from "./surfaces/api/routes.ts";
import type { Sidecar } from "./surfaces/andera/sidecar.ts";
import { isAllowed } from "./runners/container/allowed.ts";
import type { InfernetDeps } from "./surfaces/infernet/deps.ts";
import { infernetSurface } from "./surfaces/infernet/routes.ts";
import { opteryxSurface } from "./surfaces/opteryx/routes.ts";
import { optexitySurface } from "./surfaces/optexity/routes.ts";
import { orchestratorSurface } from "./surfaces/orchestrator/routes.ts";
import type { OrchestratorDeps } from "./surfaces/orchestrator/submit.ts";

const bytesPerMb = 1_048_576;

/** The named protocols, each given what it needs of the rooms. */
export function mountSurfaces(
  names: readonly SurfaceName[],
  rooms: Rooms,
  { gate, sidecar, parts }: { gate: Gate; sidecar: Sidecar; parts: DoorParts },
): Surface[] {
  const makers: Record<SurfaceName, () => Surface> = {
    api: () => apiSurface(apiDeps(rooms, parts), gate),
    opteryx: () => opteryxSurface(opteryxDeps(rooms), gate),
    andera: () => anderaSurface(anderaDeps(rooms, sidecar, parts.streams), gate),
    infernet: () => infernetSurface(infernetDeps(rooms), gate),
    orchestrator: () => orchestratorSurface(orchestratorDeps(rooms), gate),
    optexity: () => optexitySurface(optexityDeps(rooms, parts.child), gate),
  };
  return names.map((name) => makers[name]());
}

export function anderaDeps(rooms: Rooms, sidecar: Sidecar, streams: Streams): AnderaDeps {
  const { config, engine, submitter, log, runners, worker } = rooms;
  return {
    engine,
    submitter,
    log,
    functions: runners.functions.catalog,
    slots: () => worker.slots()["function"] ?? { used: 0, limit: config.slots },
    onSlots: (listener) => worker.onSlots(listener),
    async setMaintenance(on) {
      await setMaintenance(engine, on);
      if (on) worker.pause();
      else worker.resume();
    },
    sidecar,
    streams,
    sealWebhook: (webhook) => sealWebhook(rooms, webhook, "/webhook"),
    group: config.group,
    contract: config.contract,
    defaultTimeoutMs: config.defaultTimeoutMs,
    websocketPort: config.websocketPort,
    authKeys: config.authKeys,
    lbAuthKey: config.lbAuthKey,
    bodyMaxBytes: config.bodyMaxMb * bytesPerMb,
  };
}

function infernetDeps({ config, engine, submitter, runners }: Rooms): InfernetDeps {
  return {
    engine,
    submitter,
    containers: {
      list: () => runners.containers.list(),
      find(id) {
        const container = runners.containers.get(id);
        if (container === null) return null;
        return {
          id: container.id,
          external: container.external,
          generatesProofs: container.generatesProofs,
          allows: (address) => isAllowed(container, address),
        };
      },
      askable: () => runners.containers.list().flatMap(({ id }) => runners.containers.serviceAt(id) ?? []),
      problems: () => runners.containers.problems().map(({ pointer, detail }) => `${pointer || "the file"} ${detail}`),
    },
    linkMs: config.containerTimeoutS * 1000,
    bodyMaxBytes: config.bodyMaxMb * bytesPerMb,
  };
}

function orchestratorDeps({ config, engine, submitter, files }: Rooms): OrchestratorDeps {
  return {
    engine,
    submitter,
    files,
    bytesMax: config.payloadMaxMb * bytesPerMb,
    filesMax: config.payloadFilesMax,
    wallMs: config.limitWallS * 1000,
  };
}

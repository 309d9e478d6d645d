import { join } from "node:path";
import type { Rooms } from "./app-rooms.ts";
import type { Config } from "./config.ts";
import type { WebhookSpec } from "./engine/submission.ts";
import type { ChildIdentity, ControlPlane, OptexityDeps } from "./surfaces/optexity/deps.ts";
import { complaintOf } from "./surfaces/optexity/health.ts";
import { sealHeaders } from "./webhooks/seal.ts";

const bytesPerMb = 1_048_576;

export function optexityDeps(rooms: Rooms, child: ChildIdentity): OptexityDeps {
  const { config, engine, submitter, files, log, runners } = rooms;
  return {
    engine,
    submitter,
    files,
    log,
    automations: runners.automationCatalog,
    controlPlane: controlPlaneOf(config),
    reportsTo: (apiKey) => reportsTo(rooms, apiKey),
    child,
    saveDirectory: join(config.dataDir, "optexity"),
    dataDir: config.dataDir,
    running: () => automationsRunning(rooms),
    unhealthyAfterS: config.automationUnhealthyAfterS,
    wallMs: config.limitWallS * 1000,
    bodyMaxBytes: config.bodyMaxMb * bytesPerMb,
    filesMaxBytes: config.payloadMaxMb * bytesPerMb,
    filesMax: config.payloadFilesMax,
  };
}

/** What `/health` of the whole service has to say about automations; null when they are well or not served. */
export function automationComplaint(rooms: Rooms): string | null {
  const { config } = rooms;
  if (!config.surfaces.includes("optexity")) return null;
  return complaintOf({ running: () => automationsRunning(rooms), unhealthyAfterS: config.automationUnhealthyAfterS });
}

/** Null unless both its address and its key are configured. */
export function controlPlaneOf(config: Config): ControlPlane | null {
  if (config.serverUrl === "" || config.apiKey === "") return null;
  return {
    serverUrl: config.serverUrl,
    apiKey: config.apiKey,
    inferenceEndpoint: config.inferenceEndpoint,
    recordingEndpoint: "api/v1/recording",
  };
}

function automationsRunning({ worker }: Rooms) {
  return {
    count: worker.slots().automation?.used ?? 0,
    oldestSinceMs: worker.oldestRunningMs("automation"),
  };
}

/** The key travels with each task, encrypted: it may be another one tomorrow. */
function reportsTo(rooms: Rooms, apiKey: string | null): WebhookSpec | null {
  const plane = controlPlaneOf(rooms.config);
  const [sealKey] = rooms.sealKeys;
  if (plane === null || sealKey === undefined) return null;
  const sealed = sealHeaders({ "x-api-key": apiKey ?? plane.apiKey }, sealKey);
  return { url: plane.serverUrl, events: ["started", "completed"], kind: "optexity", sealed };
}

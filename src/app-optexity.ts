import { join } from "node:path";
import type { Rooms } from "./app-rooms.ts";
import type { Config } from "./config.ts";
import type { Sql } from "./db/client.ts";
import type { Render } from "./engine/deliveries.ts";
import type { WebhookSpec } from "./engine/submission.ts";
import type { FileStore } from "./files/store.ts";
import { createReportBuilder, sweepReports } from "./surfaces/optexity/build-report.ts";
import type { ChildIdentity, ControlPlane, OptexityDeps } from "./surfaces/optexity/deps.ts";
import { complaintOf } from "./surfaces/optexity/health.ts";
import { registerChild } from "./surfaces/optexity/register-child.ts";
import { createReportRender } from "./surfaces/optexity/reports.ts";
import { sweepTaskDirectories } from "./surfaces/optexity/task-directory.ts";
import type { DeliveryKind } from "./webhooks/delivery-kind.ts";
import { sealHeaders, sealText } from "./webhooks/seal.ts";

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
    seal: (text) => sealText(text, rooms.keys.seals[0]),
    child,
    saveDirectory: join(config.dataDir, "optexity"),
    dataDir: config.dataDir,
    runningSinceMs: () => rooms.worker.oldestRunningMs("automation"),
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
  return complaintOf({
    runningSinceMs: () => rooms.worker.oldestRunningMs("automation"),
    unhealthyAfterS: config.automationUnhealthyAfterS,
  });
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

/** What goes on beside the requests: links of tasks that are gone are removed, and in a cloud the master is told of this child. */
export async function startOptexity({ config, log }: Rooms): Promise<() => Promise<void>> {
  if (!config.surfaces.includes("optexity")) return async () => undefined;
  const swept = await sweepTaskDirectories(join(config.dataDir, "optexity"));
  await sweepReports(join(config.dataDir, "reports"), 2 * reportTimeoutMs);
  if (swept > 0) log.info("directories of tasks that are gone were removed", { count: swept });
  if (config.deployment !== "prod" || config.serverUrl === "") return async () => undefined;
  return registerChild({
    metadataUri: config.ecsMetadataUri,
    serverUrl: config.serverUrl,
    containerPort: config.childPortOffset,
    log,
  });
}

/** How reports to the control plane are worded. They are only made of jobs that were accepted while there was one. */
export function optexityRender(config: Config, child: ChildIdentity): Render {
  const url = (endpoint: string) => new URL(endpoint, config.serverUrl || "http://localhost/").href;
  return createReportRender(
    {
      startTask: url(config.startTaskEndpoint),
      completeTask: url(config.completeTaskEndpoint),
      saveOutputData: url(config.saveOutputDataEndpoint),
      saveDownloads: url(config.saveDownloadsEndpoint),
      saveTrajectory: url(config.saveTrajectoryEndpoint),
      initiateCallback: url("api/v1/initiate_callback"),
    },
    child,
  );
}

/** How reports are sent: to the configured control plane, wherever it is, and again until it is back. */
export function optexityDeliveries(
  config: Config,
  sql: Sql,
  files: FileStore,
  open: (sealed: string) => string | null,
): DeliveryKind {
  return {
    allow: { has: () => true },
    timeoutMs: reportTimeoutMs,
    retries: {
      retriesMax: config.webhookRetriesMax ?? Math.ceil(reportsKeptMs / (config.webhookRetryDelayMs || reportRetryMs)),
      delayMs: config.webhookRetryDelayMs ?? reportRetryMs,
    },
    isFinal: (status) => status >= 400 && status < 500 && !passing.has(status),
    build: createReportBuilder({
      sql,
      files,
      nodeId: config.nodeName,
      directory: join(config.dataDir, "reports"),
      open,
    }),
  };
}

/** How long an archive may take on its way. */
export const reportTimeoutMs = 300_000;
const reportRetryMs = 15_000;
const reportsKeptMs = 3 * 86_400_000;
/** Answers of a control plane that is being set up, moved or hurried; the other ones that blame the report are final. */
const passing = new Set([401, 403, 404, 408, 409, 423, 425, 429]);

/** The key travels with each task, encrypted: it may be another one tomorrow. */
function reportsTo(rooms: Rooms, apiKey: string | null): WebhookSpec | null {
  const plane = controlPlaneOf(rooms.config);
  if (plane === null) return null;
  const sealed = sealHeaders({ "x-api-key": apiKey ?? plane.apiKey }, rooms.keys.seals[0]);
  return { url: plane.serverUrl, events: ["started", "completed"], kind: "optexity", sealed };
}

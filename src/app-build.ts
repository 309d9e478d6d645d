import { type OpenedDatabase, openReadyDatabase } from "./app-database.ts";
import { diskTagOf, filesNote, openStore } from "./app-files.ts";
import { keysNote, openKeys } from "./app-keys.ts";
import { optexityDeliveries } from "./app-optexity.ts";
import { type Capabilities, capabilitiesOf } from "./app-capabilities.ts";
import type { Config } from "./config.ts";
import type { Render } from "./engine/deliveries.ts";
import { createEngine } from "./engine/engine.ts";
import { createAppender } from "./engine/events.ts";
import { createFinisher } from "./engine/finish.ts";
import { leaseTimesOf } from "./engine/lease.ts";
import { createSubmitter } from "./engine/submit.ts";
import type { Log } from "./log.ts";
import { Queue } from "./queue/boss.ts";
import type { Rooms } from "./app-rooms.ts";
import { openTracing } from "./app-tracing.ts";
import { buildRunners, type RunnerOptions, type Runners } from "./app-runners.ts";
import { checkHeaders } from "./webhooks/headers.ts";
import { Sender } from "./webhooks/deliver.ts";
import { parseNetworks } from "./webhooks/networks.ts";
import { openText, type SealKey } from "./webhooks/seal.ts";
import { parseSecrets } from "./webhooks/sign.ts";
import { Node } from "./worker/node.ts";
import { payloadFiles } from "./worker/payload-files.ts";
import type { RunFiles } from "./worker/run-task.ts";
import { Worker } from "./worker/worker.ts";

export type BuildOptions = {
  config: Config;
  log: Log;
  /** The environment that functions inherit, less the secrets. */
  environment: Readonly<Record<string, string | undefined>>;
  renders: Record<string, Render>;
};

/** Opens the database and builds every room on it. Nothing works yet: see `startRooms`. */
export async function buildRooms({ config, log, environment, renders }: BuildOptions): Promise<Rooms> {
  const webhookAllow = parseNetworks(config.webhookAllow);
  const secrets = parseSecrets(config.webhookSecrets);
  const webhookHeaders = checkHeaders(config.webhookHeaders, "/WEBHOOK_HEADERS");
  let seals: readonly SealKey[] = [];
  // The keys may lie in the database, and nothing is run before they are there.
  const openSealed = (sealed: string) => openText(sealed, seals);
  const [database, runners] = await openBoth({ config, log, environment, openSealed });
  const { db } = database;
  const queue = await Queue.open(db.sql, config.queueBackend);
  const disk = await diskTagOf(config);
  const engine = createEngine({ db, queue, nodeId: config.nodeName, queueMax: config.queueMax, renders, disk });
  const tracing = await openTracing(config, log, version);
  const submitter = tracing?.submits(createSubmitter(engine)) ?? createSubmitter(engine);
  const finisher = createFinisher(engine);
  const appender = createAppender(engine);
  const files = openStore(config, db.sql, runners.scripts);
  const keys = await openKeys(config, db.sql);
  seals = keys.seals;
  for (const note of [filesNote(config), keysNote(keys)]) if (note !== null) log.info(note, {});
  const capabilities = capabilitiesOf(config, runners, disk);
  const worker = new Worker({
    engine,
    finisher,
    appender,
    log,
    runners: slotsOf(config, runners, payloadFiles({ sql: db.sql, files, nodeId: config.nodeName, log })),
    canRun: capabilities.canRun,
    place: capabilities.place,
    tracer: tracing?.runs ?? null,
  });
  const lease = leaseTimesOf(config.nodeLeaseS);
  const node = new Node({ engine, worker, log, lease, state: () => nodeState(config, capabilities, worker) });
  const sender = new Sender({
    sql: db.sql,
    log,
    allow: webhookAllow,
    timeoutMs: config.webhookTimeoutMs,
    retries: { retriesMax: config.webhookRetriesMax, delayMs: config.webhookRetryDelayMs },
    secrets,
    headers: webhookHeaders,
    tracer: tracing?.attempts ?? null,
    sealKeys: keys.seals,
    ...(config.serverUrl === "" ? {} : { kinds: { optexity: optexityDeliveries(config, db.sql, files, openSealed) } }),
  });
  return {
    config,
    log,
    database,
    queue,
    engine,
    submitter,
    finisher,
    appender,
    files,
    runners,
    worker,
    node,
    sender,
    webhookAllow,
    tracing,
    keys,
  };
}

/** The node takes its lease, then its worker starts to claim. */
export async function startRooms(rooms: Rooms, { work = true }: { work?: boolean } = {}): Promise<void> {
  const { engine, worker, sender, node } = rooms;
  // A node that does no work accepts and tells; everything it accepts waits for another.
  if (work) engine.lane = worker;
  engine.onDelivery = () => sender.wake();
  engine.onStop = (jobId) => worker.stop(jobId, "cancelled");
  await node.start();
  if (work && !engine.view.maintenance) worker.start();
  sender.wake();
}

/** No new work from here on; what runs gets `graceMs`, and what is left then goes back to the queue uncharged. */
export async function drainRooms({ engine, worker, log }: Rooms, graceMs: number): Promise<void> {
  engine.view.draining = true;
  worker.close();
  const left = await worker.settled(graceMs);
  if (left > 0) {
    worker.stop(null, "interrupted");
    const stuck = await worker.settled(stopPatienceMs);
    log.warn("runs were interrupted by the shutdown", { interrupted: left, still_running: stuck });
  }
}

/** Ends everything in order, after the drain. */
export async function stopRooms(rooms: Rooms): Promise<void> {
  const { sender, node, runners, submitter, finisher, queue, database } = rooms;
  await phase(rooms, "submits", () => submitter.idle());
  await phase(rooms, "results", () => finisher.idle());
  await phase(rooms, "webhooks", () => sender.stop());
  await phase(rooms, "runners", () => runners.close());
  await phase(rooms, "node", () => node.stop());
  await phase(rooms, "queue", () => queue.close());
  await phase(rooms, "database", () => database.close());
  await phase(rooms, "traces", async () => rooms.tracing?.close());
}

const stopPatienceMs = 10_000;
const phaseTimeoutMs = 5_000;
const version = "0.1.0";

/** A phase that fails or hangs is logged, and the next one still runs. */
async function phase(rooms: Rooms, name: string, work: () => Promise<void>): Promise<void> {
  const late = Symbol("late");
  try {
    const timer = Bun.sleep(phaseTimeoutMs).then(() => late);
    if ((await Promise.race([work(), timer])) === late)
      rooms.log.warn("a phase of the shutdown took too long", { phase: name });
  } catch (fault) {
    rooms.log.warn("a phase of the shutdown failed", { phase: name, fault });
  }
}

function slotsOf(config: Config, runners: Runners, files: RunFiles) {
  return [
    { runner: runners.functions, slots: config.slots },
    { runner: runners.scripts, slots: config.scriptSlots, files },
    { runner: runners.containers, slots: config.containerSlots },
    { runner: runners.automations, slots: config.automationSlots, files },
  ];
}

function nodeState(config: Config, { tell }: Capabilities, worker: Worker) {
  return {
    capabilities: tell(),
    slots: worker.slots(),
    region: config.region,
    version,
    lastClaimAtMs: worker.lastClaimAtMs,
  };
}

/** Database and runners start at once. When one of them cannot, the other is closed again. */
async function openBoth(options: RunnerOptions): Promise<[OpenedDatabase, Runners]> {
  const [database, runners] = await Promise.allSettled([
    openReadyDatabase(options.config, options.log),
    buildRunners(options),
  ]);
  if (database.status === "fulfilled" && runners.status === "fulfilled") return [database.value, runners.value];
  if (database.status === "fulfilled") await database.value.close();
  if (runners.status === "fulfilled") await runners.value.close();
  throw database.status === "rejected" ? database.reason : runners.status === "rejected" ? runners.reason : null;
}

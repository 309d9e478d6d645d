import { automationComplaint, optexityRender } from "./app-optexity.ts";
import { buildRooms, drainRooms, startRooms, stopRooms } from "./app-build.ts";
import { showDemo } from "./app-demo.ts";
import { type Closers, type Doors, openDoors, openWatch, requireFreePorts, requireFreeWatchPort } from "./app-doors.ts";
import { clearLeftovers } from "./app-leftovers.ts";
import { addMetrics } from "./app-metrics.ts";
import { addProcessMetrics } from "./app-process-metrics.ts";
import type { Rooms } from "./app-rooms.ts";
import type { Config } from "./config.ts";
import { createMetrics } from "./http/metrics.ts";
import type { Log } from "./log.ts";
import { renderResult } from "./surfaces/andera/render.ts";
import { createApiRender } from "./surfaces/api/render.ts";
import type { ChildIdentity } from "./surfaces/optexity/deps.ts";
import { type HousekeepingOptions, keepHouse } from "./worker/housekeeping.ts";

export const version = "0.1.0";
export const description = "One service that speaks five worker protocols over one durable engine.";

export type AppOptions = {
  config: Config;
  log: Log;
  environment: Readonly<Record<string, string | undefined>>;
  /** Run a sample job once the service is up, and say what it answered. */
  demo?: boolean;
  /** Load functions again when their files change. */
  dev?: boolean;
  http?: boolean;
  work?: boolean;
};

export type App = Doors & {
  rooms: Rooms;
  /** Drains and stops everything in order. Single-flight. */
  stop(): Promise<void>;
};

/** Builds every room once and opens the doors last. What was started is stopped again when a later step fails. */
export async function startApp(options: AppOptions): Promise<App> {
  const { config, log, environment } = options;
  const child: ChildIdentity = { processId: 0 };
  const isServed = options.http !== false;
  if (isServed) requireFreePorts({ config });
  else requireFreeWatchPort({ config });
  const rooms = await buildRooms({
    config,
    log,
    environment,
    renders: {
      andera: renderResult,
      api: createApiRender(config.publicUrl),
      optexity: optexityRender(config, child),
    },
  });
  const closers: Closers = { first: [], last: [] };
  let stopping: Promise<void> | null = null;
  const stop = () => (stopping ??= stopAll(rooms, closers));
  try {
    closers.last.push(await clearLeftovers(rooms));
    await startRooms(rooms, { work: options.work ?? true });
    closers.last.push(keepHouse(houseOf(rooms)));
    if (options.dev) {
      const unwatch = rooms.runners.functions.watch();
      closers.last.push(async () => unwatch());
    }
    const doors = await (isServed
      ? openDoors(rooms, { ...doorParts(rooms, closers), environment, child })
      : watchOf(rooms, closers));
    sayReady(rooms, doors);
    const demoUrl = config.internalSurfaces.includes("andera") ? doors.internalUrl : doors.url;
    if (options.demo && demoUrl !== "") await showDemo(demoUrl, config);
    return { ...doors, rooms, stop };
  } catch (fault) {
    await stop();
    throw fault;
  }
}

/**
 * While work drains the doors stay open: `/readyz` says 503, streams are told to come back, to another node, and whoever waits
 * here for a result that comes in time gets it. Then everything closes in the reverse order of its opening.
 */
async function stopAll(rooms: Rooms, { first, last }: Closers): Promise<void> {
  const { config, engine, log } = rooms;
  const startedMs = Date.now();
  engine.view.draining = true;
  const noticed = first.length > 0 ? Bun.sleep(config.drainNoticeS * 1_000) : null;
  await closeAll(first, log);
  await Promise.all([drainRooms(rooms, config.drainGraceS * 1_000), noticed]);
  engine.hub.dismiss();
  await closeAll(last, log);
  await stopRooms(rooms);
  log.info("stopped", { ms: Date.now() - startedMs });
}

/** Files in a bucket, or of the only node there is, are any process's to remove. */
function houseOf({ config, database, queue, files, log }: Rooms): HousekeepingOptions {
  const reach = { nodeId: config.nodeName, isShared: files.kind === "s3" || database.embedded };
  return { sql: database.db.sql, queue, files, reach, log, maxAgeS: config.maxAgeS };
}

async function closeAll(closers: Closers["first"], log: Log): Promise<void> {
  for (const close of closers.toReversed()) {
    await close().catch((fault: unknown) => log.warn("a part did not close", { fault }));
  }
}

const noDoors: Doors = { url: "", internalUrl: "", watchUrl: "" };

function watchOf(rooms: Rooms, closers: Closers): Promise<Doors> | Doors {
  return rooms.config.watchPort === null ? noDoors : openWatch(rooms, doorParts(rooms, closers));
}

function doorParts(rooms: Rooms, closers: Closers) {
  const metrics = createMetrics();
  addMetrics(metrics, rooms);
  const ownMetrics = addProcessMetrics(metrics, { version });
  closers.last.push(async () => ownMetrics.stop());
  return {
    health: { facts: () => healthFacts(rooms), ready: readyChecks(rooms) },
    metrics,
    docs: { version, description },
    closers,
  };
}

async function healthFacts(rooms: Rooms) {
  const { engine, worker, database } = rooms;
  const isDatabaseUp = await database.db.sql`SELECT 1`.then(
    () => true,
    () => false,
  );
  return {
    isDatabaseUp,
    isTaskRunning: worker.runningCount > 0,
    queuedTasks: engine.view.waiting,
    complaint: automationComplaint(rooms),
  };
}

function readyChecks({ engine, database, node }: Rooms) {
  return {
    database: async () => {
      await database.db.sql`SELECT 1`;
      return null;
    },
    lease: () => (node.hasLease ? null : "this node does not hold its lease"),
    claims: () => (node.complaint === null ? null : `this node ${node.complaint}`),
    draining: () => (engine.view.draining ? "this node is stopping" : null),
  };
}

function sayReady(rooms: Rooms, { url, internalUrl, watchUrl }: Doors): void {
  const { config, log, database } = rooms;
  log.info("ready", {
    url,
    ...(watchUrl === "" ? {} : { watch_url: watchUrl }),
    ...(internalUrl === "" ? {} : { internal_url: internalUrl, internal_surfaces: config.internalSurfaces.join(",") }),
    node: config.nodeName,
    database: database.embedded ? "embedded" : "DATABASE_URL",
    sandbox: rooms.runners.sandbox.description,
    surfaces: config.surfaces.join(","),
    functions: rooms.runners.functions.catalog.list().length,
    keys: config.authKeys.length > 0 ? "required" : "not asked on loopback",
  });
}

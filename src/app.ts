import { automationComplaint, optexityRender, startOptexity } from "./app-optexity.ts";
import { buildRooms, drainRooms, startRooms, stopRooms } from "./app-build.ts";
import { showDemo } from "./app-demo.ts";
import { clearLeftovers } from "./app-leftovers.ts";
import { addMetrics } from "./app-metrics.ts";
import { addProcessMetrics } from "./app-process-metrics.ts";
import type { Rooms } from "./app-rooms.ts";
import { anderaDeps, mountSurfaces } from "./app-surfaces.ts";
import { type Config, isLoopback } from "./config.ts";
import { createGate } from "./http/gate.ts";
import { createJobTokens } from "./http/job-tokens.ts";
import { createMetrics } from "./http/metrics.ts";
import { requireFreePort } from "./http/require-free-port.ts";
import { createServer } from "./http/server.ts";
import { createStreams } from "./http/streams.ts";
import type { Log } from "./log.ts";
import { renderResult } from "./surfaces/andera/render.ts";
import { createApiRender } from "./surfaces/api/render.ts";
import type { ChildIdentity } from "./surfaces/optexity/deps.ts";
import { startSidecar } from "./surfaces/andera/sidecar.ts";
import { listenForBalancers } from "./surfaces/andera/websocket.ts";
import { functionEnvironment } from "./runners/function/environment.ts";
import { keepHouse } from "./worker/housekeeping.ts";

export const version = "0.1.0";
export const description = "One service that speaks five worker protocols over one durable engine.";

/** What requests under way still get once the work has drained: most of them are downloads. */
const requestsPatienceMs = 10_000;

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

export type App = {
  /** Where the service listens; empty without HTTP. */
  url: string;
  rooms: Rooms;
  /** Drains and stops everything in order. Single-flight. */
  stop(): Promise<void>;
};

/** Builds every room once and opens the doors last. What was started is stopped again when a later step fails. */
export async function startApp(options: AppOptions): Promise<App> {
  const { config, log, environment } = options;
  const child: ChildIdentity = { processId: 0 };
  if (options.http !== false) requireFreePorts(config);
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
    closers.last.push(keepHouse({ sql: rooms.database.db.sql, files: rooms.files, log, maxAgeS: config.maxAgeS }));
    if (options.dev) {
      const unwatch = rooms.runners.functions.watch();
      closers.last.push(async () => unwatch());
    }
    const url = options.http === false ? "" : await openDoors({ ...options, child }, rooms, closers);
    sayReady(rooms, url);
    if (options.demo && url !== "") await showDemo(url, config);
    return { url, rooms, stop };
  } catch (fault) {
    await stop();
    throw fault;
  }
}

/** Before anything is touched: whoever cannot listen must not take the name, and with it the work, of a server that can. */
function requireFreePorts({ host, port, websocketPort, surfaces }: Config): void {
  requireFreePort(host, port, "PORT");
  if (surfaces.includes("andera")) requireFreePort(host, websocketPort, "WEBSOCKET_PORT");
}

/** What is told when the service begins to stop, and what is closed once its work has drained. */
type Closers = Record<"first" | "last", (() => Promise<unknown>)[]>;

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

async function closeAll(closers: Closers["first"], log: Log): Promise<void> {
  for (const close of closers.toReversed()) {
    await close().catch((fault: unknown) => log.warn("a part did not close", { fault }));
  }
}

type DoorOptions = AppOptions & { child: ChildIdentity };

async function openDoors(options: DoorOptions, rooms: Rooms, closers: Closers): Promise<string> {
  const { config, log } = rooms;
  const tokens = createJobTokens(...rooms.keys.tokens);
  const gate = createGate(config, { isLoopback: isLoopback(config.host), tokens });
  const sidecar = await startSidecar({
    tagsDir: config.tagsDir,
    servicesDir: config.servicesDir,
    environment: functionEnvironment(options.environment),
    log,
  });
  closers.last.push(() => sidecar.stop());
  const streams = createStreams(log);
  closers.first.push(async () => streams.end());
  const metrics = createMetrics();
  addMetrics(metrics, rooms);
  const ofProcess = addProcessMetrics(metrics, { version });
  closers.last.push(async () => ofProcess.stop());
  const server = createServer({
    config,
    log,
    gate,
    surfaces: mountSurfaces(rooms, gate, sidecar, {
      streams,
      tokens,
      secret: rooms.keys.tokens[0],
      child: options.child,
    }),
    health: { facts: () => healthFacts(rooms), ready: readyChecks(rooms) },
    metrics,
    streams,
    docs: { version, description },
  });
  const { url } = await server.listen();
  closers.last.push(() => server.stop(requestsPatienceMs));
  closers.first.push(await startOptexity(rooms));
  if (config.surfaces.includes("andera")) {
    const balancers = listenForBalancers(anderaDeps(rooms, sidecar), {
      hostname: config.host,
      port: config.websocketPort,
    });
    closers.last.push(() => balancers.stop());
  }
  return url;
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

function readyChecks({ engine, database }: Rooms) {
  return {
    database: async () => {
      await database.db.sql`SELECT 1`;
      return null;
    },
    draining: () => (engine.view.draining ? "this node is stopping" : null),
  };
}

function sayReady(rooms: Rooms, url: string): void {
  const { config, log, database } = rooms;
  log.info("ready", {
    url,
    node: config.nodeName,
    database: database.embedded ? "embedded" : "DATABASE_URL",
    sandbox: rooms.runners.sandbox.description,
    surfaces: config.surfaces.join(","),
    functions: rooms.runners.functions.catalog.list().length,
    keys: config.authKeys.length > 0 ? "required" : "not asked on loopback",
  });
}

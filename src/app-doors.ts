import type { DoorParts } from "./app-api.ts";
import { startOptexity } from "./app-optexity.ts";
import type { Rooms } from "./app-rooms.ts";
import { anderaDeps, mountSurfaces } from "./app-surfaces.ts";
import { isLoopback } from "./config.ts";
import { createGate } from "./http/gate.ts";
import { createJobTokens } from "./http/job-tokens.ts";
import type { Metrics } from "./http/metrics.ts";
import { requireFreePort } from "./http/require-free-port.ts";
import { createServer, type HttpServer, type ServerOptions } from "./http/server.ts";
import { createStreams } from "./http/streams.ts";
import { functionEnvironment } from "./runners/function/environment.ts";
import type { SurfaceName } from "./settings/surface-names.ts";
import { type Sidecar, startSidecar } from "./surfaces/andera/sidecar.ts";
import { listenForBalancers } from "./surfaces/andera/websocket.ts";
import type { ChildIdentity } from "./surfaces/optexity/deps.ts";

/** What is told when the service begins to stop, and what is closed once its work has drained. */
export type Closers = Record<"first" | "last", (() => Promise<unknown>)[]>;

export type DoorOptions = {
  /** The environment that tags and services inherit, less the secrets. */
  environment: Readonly<Record<string, string | undefined>>;
  child: ChildIdentity;
  health: ServerOptions["health"];
  metrics: Metrics;
  docs: ServerOptions["docs"];
  closers: Closers;
};

/** Where the service listens: `url` is empty without HTTP, `internalUrl` when there is one door alone, `watchUrl` with any HTTP. */
export type Doors = { url: string; internalUrl: string; watchUrl: string };

type WatchOptions = Pick<DoorOptions, "health" | "metrics" | "docs" | "closers">;

/** One listener: where it is, and which protocols it has. */
type Door = { host: string; port: number; surfaces: SurfaceName[] };
type Shared = DoorOptions & { parts: DoorParts; sidecar: Sidecar };

/** What requests under way still get once the work has drained: most of them are downloads. */
const requestsPatienceMs = 10_000;

/** Before anything is touched: whoever cannot listen must not take the name, and with it the work, of a server that can. */
export function requireFreePorts({ config }: Pick<Rooms, "config">): void {
  const { host, port, internalHost, internalPort, websocketPort, surfaces } = config;
  requireFreePort(host, port, "PORT");
  if (internalPort !== null) requireFreePort(internalHost, internalPort, "INTERNAL_PORT");
  if (surfaces.includes("andera")) requireFreePort(hostOf("andera", config), websocketPort, "WEBSOCKET_PORT");
}

/** The same for a node that serves nothing. */
export function requireFreeWatchPort({ config }: Pick<Rooms, "config">): void {
  if (config.watchPort !== null) requireFreePort(config.host, config.watchPort, "WATCH_PORT");
}

/** Opens the public door, and the internal one where there is one. What was opened is in `closers`, also when a later step fails. */
export async function openDoors(rooms: Rooms, options: DoorOptions): Promise<Doors> {
  const { config, log } = rooms;
  const { closers } = options;
  const sidecar = await startSidecar({
    tagsDir: config.tagsDir,
    servicesDir: config.servicesDir,
    environment: functionEnvironment(options.environment),
    log,
  });
  closers.last.push(() => sidecar.stop());
  const streams = createStreams(log);
  closers.first.push(async () => streams.end());
  const tokens = createJobTokens(...rooms.keys.tokens);
  const parts: DoorParts = { streams, tokens, secret: rooms.keys.tokens[0], child: options.child };
  const [outer, inner] = await openServers(rooms, { ...options, parts, sidecar });
  closers.first.push(await startOptexity(rooms));
  if (config.surfaces.includes("andera")) {
    const address = { hostname: hostOf("andera", config), port: config.websocketPort };
    const balancers = listenForBalancers(anderaDeps(rooms, sidecar, streams), address);
    closers.last.push(() => balancers.stop());
  }
  return { url: outer, internalUrl: inner, watchUrl: "" };
}

/** The door of a node without HTTP, for those who watch it: whether it lives, and its metrics. */
export async function openWatch(rooms: Rooms, { health, metrics, docs, closers }: WatchOptions): Promise<Doors> {
  const { config, log } = rooms;
  const { host, watchPort } = config;
  const server = createServer({
    config: { ...config, port: watchPort ?? 0, openapiEnabled: false },
    log,
    gate: createGate(config, { isLoopback: isLoopback(host), tokens: null }),
    surfaces: [],
    health,
    metrics,
    streams: createStreams(log),
    docs,
  });
  const { url } = await server.listen();
  closers.last.push(() => server.stop(requestsPatienceMs));
  return { url: "", internalUrl: "", watchUrl: url };
}

/** Both are part of one service: they share streams, tokens and measures, and end after the same drain. */
async function openServers(rooms: Rooms, shared: Shared): Promise<[outer: string, inner: string]> {
  const { host, port, internalHost, internalPort, internalSurfaces, surfaces } = rooms.config;
  const open = surfaces.filter((name) => !internalSurfaces.includes(name));
  const outer = await openServer(rooms, { host, port, surfaces: open }, shared);
  if (internalPort === null) return [outer.url, ""];
  const door = { host: internalHost, port: internalPort, surfaces: internalSurfaces };
  const inner = await openServer(rooms, door, shared, outer.server);
  return [outer.url, inner.url];
}

async function openServer(
  rooms: Rooms,
  { host, port, surfaces }: Door,
  { parts, sidecar, health, metrics, docs, closers }: Shared,
  beside?: HttpServer,
): Promise<{ server: HttpServer; url: string }> {
  const { config, log } = rooms;
  // The guards of a route are the same at either door; which names a request may call the service by is not.
  const gate = createGate({ ...config, host }, { isLoopback: isLoopback(host), tokens: parts.tokens });
  const server = createServer({
    config: { ...config, host, port },
    log,
    gate,
    surfaces: mountSurfaces(surfaces, rooms, { gate, sidecar, parts }),
    health,
    metrics,
    streams: parts.streams,
    docs,
    ...(beside === undefined ? {} : { beside }),
  });
  const { url } = await server.listen();
  closers.last.push(() => server.stop(requestsPatienceMs));
  return { server, url };
}

function hostOf(name: SurfaceName, config: Rooms["config"]): string {
  return config.internalSurfaces.includes(name) ? config.internalHost : config.host;
}

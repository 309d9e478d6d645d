import { description, version } from "./app.ts";
import type { DoorParts } from "./app-api.ts";
import type { Rooms } from "./app-rooms.ts";
import { mountSurfaces } from "./app-surfaces.ts";
import { type Config, isLoopback, withConfig } from "./config.ts";
import { createGate } from "./http/gate.ts";
import { createMetrics } from "./http/metrics.ts";
import { createServer } from "./http/server.ts";
import { createStreams } from "./http/streams.ts";
import { silentLog } from "./log.ts";
import type { Sidecar } from "./surfaces/andera/sidecar.ts";

/** The document that a service with this configuration serves at `/openapi`, without its database. Nothing is started. */
export async function describeApi(given: Config): Promise<unknown> {
  const config = withConfig(given, { openapiEnabled: true });
  const log = silentLog();
  const streams = createStreams(log);
  const gate = createGate(config, { isLoopback: isLoopback(config.host), tokens: null });
  const rooms = hollow<Rooms>("rooms", { config, log });
  const parts = hollow<DoorParts>("doors", { streams, secret: new Uint8Array(secretBytes) });
  const { app } = createServer({
    config,
    log,
    gate,
    surfaces: mountSurfaces(config.surfaces, rooms, { gate, sidecar: hollow<Sidecar>("sidecar"), parts }),
    health: { facts: () => Promise.reject(new Error("nobody asks")), ready: {} },
    metrics: createMetrics(),
    streams,
    docs: { version, description },
  });
  const response = await app.handle(new Request("http://localhost/openapi"));
  return response.json();
}

/** Signs nothing: no list is ever asked for. */
const secretBytes = 32;

/**
 * Stands for a part of the service while routes are described. It and its members can be handed on; calling one is a fault, since nobody is
 * served.
 */
function hollow<T extends object>(name: string, known: Partial<T> = {}): T {
  const call = () => {
    throw new Error(`${name} was called while the routes were described`);
  };
  const member = (key: string | symbol) => {
    // Else it would be taken for a promise, or for something to be iterated.
    if (typeof key === "symbol" || key === "then") return undefined;
    return key in known ? Reflect.get(known, key) : hollow(`${name}.${key}`);
  };
  return new Proxy(call, { get: (_, key) => member(key) }) as unknown as T;
}

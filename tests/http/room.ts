import { type AnyElysia, Elysia } from "elysia";
import { auth } from "../../src/http/auth.ts";
import { readJson } from "../../src/http/body.ts";
import { createGate, type Gate } from "../../src/http/gate.ts";
import type { HealthFacts } from "../../src/http/health.ts";
import { createJobTokens, type JobTokens } from "../../src/http/job-tokens.ts";
import { createMetrics, type Metrics } from "../../src/http/metrics.ts";
import { refuseWithProblem } from "../../src/http/problem.ts";
import type { Refuse } from "../../src/http/refusal.ts";
import type { RootOptions } from "../../src/http/root.ts";
import { createServer, type HttpServer, type ServerOptions } from "../../src/http/server.ts";
import { createStreams, type Streams } from "../../src/http/streams.ts";
import type { Surface } from "../../src/http/surface.ts";
import { createLog, type Log } from "../../src/log.ts";

export const goodKey = "correct-horse-battery-staple";
export const jsonBytesMax = 65_536;

export type Room = AsyncDisposable & {
  url: string;
  port: number;
  server: HttpServer;
  gate: Gate;
  tokens: JobTokens;
  streams: Streams;
  metrics: Metrics;
  log: Log;
  /** Handlers that ran, by name. */
  ran: string[];
  /** Lines of the access log and of the log. */
  lines: string[];
};

type Settings = Parameters<typeof createGate>[0];
export type RoomOptions = {
  settings?: Partial<Settings>;
  isLoopback?: boolean;
  /** Mounted beside `demo`, or instead of it with `withoutDemo`. */
  surfaces?: (room: { gate: Gate; streams: Streams; ran: string[] }) => Surface[];
  withoutDemo?: boolean;
  health?: Partial<RootOptions["health"]>;
  config?: Partial<ServerOptions["config"]>;
  heartbeatMs?: number;
  idleTimeoutS?: number;
};

const wellFacts: HealthFacts = { isDatabaseUp: true, isTaskRunning: false, queuedTasks: 0, complaint: null };

/** The HTTP room on a free port, with a small surface of its own. */
export async function openRoom(options: RoomOptions = {}): Promise<Room> {
  const [ran, lines]: [string[], string[]] = [[], []];
  const log = createLog({ level: "info", maxLines: 100, write: (line) => lines.push(line) });
  const tokens = createJobTokens(new Uint8Array(32).fill(7));
  const settings = { ...usualSettings, ...options.settings };
  const gate = createGate(settings, { isLoopback: options.isLoopback ?? true, tokens });
  const streams = createStreams(log, { heartbeatMs: options.heartbeatMs ?? 15_000 });
  const metrics = createMetrics();
  const more = options.surfaces?.({ gate, streams, ran }) ?? [];
  const server = createServer({
    config: { ...usualConfig, ...options.config },
    log,
    gate,
    streams,
    metrics,
    surfaces: options.withoutDemo ? more : [demoSurface(gate, ran), ...more],
    health: { facts: async () => wellFacts, ready: {}, ...options.health },
    docs: { version: "0.0.0", description: "A test" },
    writeLine: (line) => lines.push(line),
    idleTimeoutS: options.idleTimeoutS ?? 30,
  });
  const { url, port } = await server.listen();
  const close = async () => void (await server.stop(1_000));
  return { url, port, server, gate, tokens, streams, metrics, log, ran, lines, [Symbol.asyncDispose]: close };
}

const usualSettings: Settings = {
  authKeys: [goodKey, "second-key"],
  lbAuthKey: "balancer-key",
  trustedNetworks: [],
  trustedProxies: [],
  host: "127.0.0.1",
  publicUrl: "",
};

const usualConfig: ServerOptions["config"] = {
  host: "127.0.0.1",
  port: 0,
  logLevel: "info",
  bodyMaxMb: 1,
  payloadMaxMb: 1,
  openapiEnabled: true,
};

/** A route for each kind of guard, one that reads JSON, one that fails, and one with parameters that are checked. */
function demoSurface(gate: Gate, ran: string[]): Surface {
  const run = (name: string, client: string) => {
    ran.push(name);
    return { ran: name, client };
  };
  const plugin = new Elysia({ name: "demo" })
    .use(auth(gate, refuseWithProblem))
    .get("/demo/open", ({ client }) => run("open", client), { auth: "open" })
    .get("/demo/key", ({ client }) => run("key", client), { auth: "key" })
    .get("/demo/lb", ({ client }) => run("lb", client), { auth: "lb" })
    .get("/demo/trusted", ({ client }) => run("trusted", client), { auth: "trusted" })
    .get("/demo/jobs/:id", ({ client }) => run("job", client), { auth: "job" })
    .get("/demo/internal/:id", ({ client }) => run("internal", client), { auth: "key" })
    .post("/demo/json", async ({ request }) => ({ read: await readJson(request, { maxBytes: jsonBytesMax }) }), {
      auth: "open",
      parse: "none",
    })
    .post("/demo/typed", ({ request }) => readJson(request, { maxBytes: jsonBytesMax, mustBeJsonType: true }), {
      auth: "key",
      parse: "none",
    });
  return { name: "demo", plugin, prefixes: ["/demo"], refuse: refuseWithProblem };
}

/** A surface with words of its own: `{"said": code}`. */
export function wordySurface(
  name: string,
  gate: Gate,
  mount: (app: ReturnType<typeof guarded>) => AnyElysia,
  more: Partial<Surface> = {},
): Surface {
  const refuse: Refuse = (refusal) => Response.json({ said: refusal.code, by: name }, { status: refusal.status });
  return { name, plugin: mount(guarded(name, gate, refuse)), prefixes: [`/${name}`], refuse, ...more };
}

function guarded(name: string, gate: Gate, refuse: Refuse) {
  return new Elysia({ name }).use(auth(gate, refuse));
}

export function bearer(key: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${key}` } };
}

/** The JSON of an answer, as the test expects it to be. */
export async function bodyOf<T = Record<string, unknown>>(response: Response): Promise<T> {
  return (await response.json()) as T;
}

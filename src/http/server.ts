import type { AnyElysia } from "elysia";
import type { Config } from "../config.ts";
import type { Log } from "../log.ts";
import { type AccessLog, createAccessLog } from "./access-log.ts";
import { createErrorAnswer, type Thrown } from "./answer-error.ts";
import { createEdge } from "./edge.ts";
import { assertEveryRouteGuarded } from "./guarded.ts";
import { createLineWriter } from "./line-writer.ts";
import { Listener } from "./listener.ts";
import { createMeasure, type Measure } from "./measure.ts";
import { problem } from "./problem.ts";
import { createRoot, type RootOptions } from "./root.ts";
import { createRouteTable, type RouteTable } from "./route-table.ts";
import type { Streams } from "./streams.ts";

export type ServerOptions = RootOptions & {
  config: Pick<Config, "host" | "port" | "logLevel" | "bodyMaxMb" | "payloadMaxMb" | "openapiEnabled">;
  log: Log;
  streams: Streams;
  /** Takes the lines of the access log instead of stderr. */
  writeLine?: (line: string) => void;
  /** Another door of the same service, whose log and measures this one shares. */
  beside?: HttpServer;
  /**
   * Seconds a connection may stand still; 30 unless said. Never 0, which would also lift the floor under slow bodies.
   */
  idleTimeoutS?: number;
};

export type HttpServer = {
  app: AnyElysia;
  /** Told of every answer. */
  measure: Measure;
  /** Takes the lines of the access log. */
  writeLine: (line: string) => void;
  /** Opens the listener. Throws `ListenError` when the port or the address cannot be had. */
  listen(): Promise<{ url: string; port: number }>;
  /**
   * Tells open streams to come back, refuses new connections, waits for requests under way up to `graceMs` (10 s
   * unless said), breaks off the rest and says how many those were. May be called twice, or without `listen`.
   */
  stop(graceMs?: number): Promise<{ brokenOff: number }>;
};

const bytesPerMb = 1_048_576;
/** What multipart needs around the files. */
const multipartExtraMb = 16;
const idleTimeoutUsualS = 30;
const stopGraceUsualMs = 10_000;

/**
 * The one listener with everything mounted. Throws `Error` when a route is not guarded (`assertEveryRouteGuarded`),
 * so that a forgotten guard is found at the first start.
 */
export function createServer(options: ServerOptions): HttpServer {
  const { config, streams } = options;
  const { app, answerError } = createApp(options);
  const lines = createLineWriter(Bun.stderr.writer());
  const writeLine = options.writeLine ?? options.beside?.writeLine ?? lines.write;
  const measure = options.beside?.measure ?? measureOf(options);
  const listener = createListener(options, { app, answerError, accessLog: accessLogOf(options, writeLine), measure });
  return {
    app,
    measure,
    writeLine,
    listen: async () => {
      const server = listener.open();
      app.server = server;
      process.on("exit", lines.close);
      const port = server.port ?? config.port;
      return { url: `http://${config.host.includes(":") ? `[${config.host}]` : config.host}:${port}`, port };
    },
    stop: async (graceMs = stopGraceUsualMs) => {
      streams.end();
      const brokenOff = await listener.close(graceMs);
      await lines.flush();
      process.off("exit", lines.close);
      return { brokenOff };
    },
  };
}

type AnswerError = (thrown: Thrown) => Response;

function createApp(options: ServerOptions): { app: AnyElysia; answerError: AnswerError } {
  let table: RouteTable | null = null;
  const answerError = createErrorAnswer(options.log, () => {
    table ??= createRouteTable(app, options.surfaces, options.rooms ?? []);
    return table;
  });
  const app = createRoot(options, options.config.openapiEnabled, answerError);
  assertEveryRouteGuarded(app);
  return { app, answerError };
}

function measureOf({ metrics, streams }: ServerOptions): Measure {
  metrics.gauge("http_streams", "Event streams that readers of this node have open", () => streams.open);
  return createMeasure(metrics);
}

function accessLogOf({ config, gate }: ServerOptions, write: (line: string) => void): AccessLog {
  return createAccessLog({ level: config.logLevel, write, addressOf: gate.addressOf });
}

type AnswerParts = { app: AnyElysia; answerError: AnswerError; accessLog: AccessLog; measure: Measure };

function createListener(options: ServerOptions, parts: AnswerParts): Listener {
  const { config, log } = options;
  return new Listener({
    host: config.host,
    port: config.port,
    idleTimeoutS: options.idleTimeoutS ?? idleTimeoutUsualS,
    bodyBytesMax: (Math.max(config.bodyMaxMb, config.payloadMaxMb) + multipartExtraMb) * bytesPerMb,
    answer: createEdge({ ...parts, isLeaving: () => options.streams.isEnding }),
    answerFault: (fault) => {
      log.error("fault", { error: fault instanceof Error ? fault : new Error("thrown", { cause: fault }) });
      return problem("internal", "The service failed to answer this request");
    },
  });
}

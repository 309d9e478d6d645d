import type { Connections } from "./exchange.ts";
import { listenFault } from "./listen-fault.ts";

type Parts = {
  host: string;
  port: number;
  idleTimeoutS: number;
  bodyBytesMax: number;
  answer: (request: Request, connections: Connections) => Response | Promise<Response>;
  /** Answers what `answer` threw. */
  answerFault: (fault: unknown) => Response;
};

/** Owns the port. */
export class Listener {
  readonly #parts: Parts;
  #server: Bun.Server<undefined> | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Opens the port, once. Throws `ListenError`. `reusePort` stays off: with it a second server would share the port
   * unnoticed.
   */
  open(): Bun.Server<undefined> {
    const { host, port, idleTimeoutS, bodyBytesMax, answer, answerFault } = this.#parts;
    try {
      this.#server ??= Bun.serve({
        hostname: host,
        port,
        reusePort: false,
        development: false,
        idleTimeout: idleTimeoutS,
        maxRequestBodySize: bodyBytesMax,
        fetch: (request, server) => answer(request, server),
        error: answerFault,
      });
      return this.#server;
    } catch (fault) {
      throw listenFault(fault, host, port);
    }
  }

  /**
   * Refuses new connections and waits for requests under way; breaks off those that are left after `graceMs`, and
   * says how many.
   */
  async close(graceMs: number): Promise<number> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return 0;
    const timer = Promise.withResolvers<false>();
    const timeout = setTimeout(timer.resolve, graceMs, false);
    const isDone = await Promise.race([server.stop(false).then(() => true), timer.promise]);
    clearTimeout(timeout);
    const left = isDone ? 0 : server.pendingRequests;
    if (!isDone) await server.stop(true);
    return left;
  }
}

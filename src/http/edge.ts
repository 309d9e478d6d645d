import type { AnyElysia } from "elysia";
import type { AccessLog } from "./access-log.ts";
import type { Thrown } from "./answer-error.ts";
import { closeExchange, type Connections, Exchange, openExchange } from "./exchange.ts";
import { secureForBrowser } from "./html.ts";
import { refuseWithProblem } from "./problem.ts";
import { refusal } from "./refusal.ts";
import { createRequestIds } from "./request-id.ts";
import { createShapeCheck } from "./request-shape.ts";

type Parts = {
  app: AnyElysia;
  /** Answers what the app itself could not. */
  answerError: (thrown: Thrown) => Response;
  accessLog: AccessLog;
  /** Told of every answer. */
  measure: (status: number, ms: number) => void;
  /** Connections are not to be kept: this node stops, and the next request on them is better made to another. */
  isLeaving: () => boolean;
};

/**
 * What every request passes on its way to the routes and back: its shape is checked before anything is made of its
 * path, it gets an id, and its answer carries the id, is measured and logged. HEAD is GET without the body: the
 * router itself would read the body to count it.
 */
export function createEdge(parts: Parts): (request: Request, connections: Connections) => Response | Promise<Response> {
  const isWellFormed = createShapeCheck();
  const nameRequest = createRequestIds();
  return (request, connections) => {
    const exchange = new Exchange(request, connections, nameRequest(request.headers.get("x-request-id")));
    openExchange(request, exchange);
    if (!isWellFormed(request)) return finished(parts, request, malformed(request), exchange);
    return answered(parts, request, exchange);
  };
}

/**
 * The router asks its error handler for all that is thrown, save what it trips over itself, such as `throw undefined`.
 * Functions are made for answers that are waited for alone: every request would pay for them.
 */
function answered(parts: Parts, request: Request, exchange: Exchange): Response | Promise<Response> {
  let answer: Response | Promise<Response>;
  try {
    answer = request.method === "HEAD" ? answerHead(parts.app, request, exchange) : parts.app.fetch(request);
  } catch (fault) {
    answer = parts.answerError({ error: fault, request, route: undefined });
  }
  if (!(answer instanceof Promise)) return finished(parts, request, answer, exchange);
  return answer.then(
    (response) => finished(parts, request, response, exchange),
    (error) => finished(parts, request, parts.answerError({ error, request, route: undefined }), exchange),
  );
}

function malformed(request: Request): Response {
  return refuseWithProblem(
    refusal(request, "invalid", "The request line and the Host header do not make one plain URL"),
  );
}

async function answerHead(app: AnyElysia, request: Request, exchange: Exchange): Promise<Response> {
  const get = new Request(request.url, { headers: request.headers, signal: request.signal });
  openExchange(get, exchange);
  const { body, status, headers } = await app.fetch(get);
  // A body that has failed already cannot be cancelled, and nobody wants it.
  await body?.cancel().catch(() => undefined);
  if (exchange.bytes !== null) headers.set("content-length", String(exchange.bytes));
  return new Response(null, { status, headers });
}

function finished(parts: Parts, request: Request, response: Response, exchange: Exchange): Response {
  response.headers.set("x-request-id", exchange.id);
  if (parts.isLeaving()) response.headers.set("connection", "close");
  exchange.bytes ??= lengthOf(response);
  if (request.headers.get("accept")?.includes("text/html")) secureForBrowser(response);
  const ms = performance.now() - exchange.startedMs;
  parts.measure(response.status, ms);
  parts.accessLog(request, response.status, exchange, ms);
  closeExchange(request);
  return response;
}

function lengthOf({ headers }: Response): number | null {
  const length = headers.get("content-length");
  return length === null ? null : Number(length);
}

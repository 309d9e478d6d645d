import type { AnyElysia } from "elysia";
import type { AccessLog } from "./access-log.ts";
import { type Connections, Exchange, openExchange } from "./exchange.ts";
import { secureForBrowser } from "./html.ts";
import { refuseWithProblem } from "./problem.ts";
import { refusal } from "./refusal.ts";
import { createRequestIds } from "./request-id.ts";
import { createShapeCheck } from "./request-shape.ts";

type Parts = {
  app: AnyElysia;
  accessLog: AccessLog;
  /** Told of every answer. */
  measure: (status: number, ms: number) => void;
};

/**
 * What every request passes on its way to the routes and back: its shape is checked before anything is made of its path, it gets an id, and
 * its answer carries the id, is measured and logged. HEAD is GET without the body: the router itself would read the body to count it.
 */
export function createEdge(parts: Parts): (request: Request, connections: Connections) => Response | Promise<Response> {
  const isWellFormed = createShapeCheck();
  const nameRequest = createRequestIds();
  return (request, connections) => {
    const exchange = new Exchange(request, connections, nameRequest(request.headers.get("x-request-id")));
    openExchange(request, exchange);
    if (!isWellFormed(request)) return finished(parts, request, malformed(request), exchange);
    const answer: Response | Promise<Response> =
      request.method === "HEAD" ? answerHead(parts.app, request, exchange) : parts.app.fetch(request);
    return answer instanceof Promise
      ? answer.then((response) => finished(parts, request, response, exchange))
      : finished(parts, request, answer, exchange);
  };
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
  await body?.cancel();
  if (exchange.bytes !== null) headers.set("content-length", String(exchange.bytes));
  return new Response(null, { status, headers });
}

function finished(parts: Parts, request: Request, response: Response, exchange: Exchange): Response {
  if (!exchange.isStamped) stamp(response, exchange);
  if (request.headers.get("accept")?.includes("text/html")) secureForBrowser(response);
  const ms = performance.now() - exchange.startedMs;
  parts.measure(response.status, ms);
  parts.accessLog(request, response.status, exchange, ms);
  return response;
}

function stamp({ headers }: Response, exchange: Exchange): void {
  headers.set("x-request-id", exchange.id);
  const length = headers.get("content-length");
  if (length !== null) exchange.bytes = Number(length);
}

import { EngineError } from "../errors.ts";
import type { Log } from "../log.ts";
import { GuardRefusal } from "./auth.ts";
import { requestId } from "./exchange.ts";
import { type Refusal, refusal, refusalOf } from "./refusal.ts";
import type { RouteTable } from "./route-table.ts";

/** What an error handler is told: what was thrown, for which request, and the pattern of the route when one matched. */
export type Thrown = { error: unknown; request: Request; route: string | undefined };

/**
 * The one answer to everything thrown, total: a guard's own answer, a wrong method with `Allow`, or the refusal in
 * the owner's words. A fault is logged once, with its request id, and shown to nobody.
 */
export function createErrorAnswer(log: Log, table: () => RouteTable): (thrown: Thrown) => Response {
  return ({ error, request, route }) => {
    if (error instanceof GuardRefusal) return error.toResponse();
    const found = refusalOf(error, request);
    const meant = route === undefined && found.code === "not_found" ? missed(found, request, table()) : found;
    if (meant instanceof Response) return meant;
    if (meant.code === "internal") logFault(log, error, request, meant.path);
    else if (meant.code === "unavailable") logLack(log, error, request);
    const response = table().ownerOf(meant.path, route)(meant);
    if (meant.allow.length > 0) response.headers.set("allow", meant.allow.join(", "));
    return response;
  };
}

/** No route took the request: the path may still know other methods. */
function missed(found: Refusal, request: Request, table: RouteTable): Refusal | Response {
  const methods = table.methodsAt(found.path);
  if (methods.length === 0) return found;
  const allow = [...methods, "OPTIONS"];
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: { allow: allow.join(", ") } });
  const detail = `${request.method} is not offered here; ${methods.join(", ")} ${methods.length === 1 ? "is" : "are"}`;
  return refusal(request, "method_not_allowed", detail, { allow });
}

/** What this service needs and did not get. The caller is told that much, the log why. */
function logLack(log: Log, error: unknown, request: Request): void {
  const fault = error instanceof EngineError ? error.cause : error;
  if (fault !== undefined) log.warn("a request could not be served", { request_id: requestId(request), fault });
}

function logFault(log: Log, error: unknown, request: Request, path: string): void {
  const fault = error instanceof Error ? error : new Error("something that is no Error was thrown", { cause: error });
  log.error("fault", { request_id: requestId(request), method: request.method, path, error: fault });
}

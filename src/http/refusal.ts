import { ElysiaCustomStatusResponse, NotFoundError, ParseError, ValidationError } from "elysia";
import { isPassingFault } from "../db/client.ts";
import { outageRetryS, outageText } from "../db/outage.ts";
import { EngineError, type ErrorCode, type Problem } from "../errors.ts";
import { requestId } from "./exchange.ts";

/** What the edge may answer instead of a handler: every refusal of the engine, a wrong method, and our own fault. */
export type RefusalCode = ErrorCode | "method_not_allowed" | "internal";

/**
 * A request that is not answered as it asked, in the words of no protocol. `detail` and `problems` may be shown to
 * the caller.
 */
export type Refusal = {
  code: RefusalCode;
  /** The usual HTTP status; a protocol may have its own. */
  status: number;
  detail: string;
  problems: Problem[];
  retryAfterSeconds: number | null;
  /** Methods that the path knows; empty unless the method was wrong. */
  allow: string[];
  path: string;
  requestId: string;
};

/** A refusal in the words of one protocol. Total: it answers every code. */
export type Refuse = (refusal: Refusal) => Response;

/**
 * The usual HTTP status of every code. `invalid` is 422 when it says which fields are wrong, and 400 when the whole
 * is.
 */
export const usualStatus: Record<RefusalCode, number> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  idempotency_mismatch: 422,
  too_large: 413,
  unsupported_media_type: 415,
  unsupported: 422,
  not_final: 409,
  not_held: 409,
  queue_full: 503,
  draining: 503,
  maintenance: 503,
  unavailable: 503,
  method_not_allowed: 405,
  internal: 500,
};

/** Retry-After of refusals that pass by themselves and do not say when. */
const retryAfterUsualS: Partial<Record<RefusalCode, number>> = {
  queue_full: 5,
  draining: 5,
  maintenance: 30,
  unavailable: 5,
};

const faultDetail = "The service failed to answer this request. Its log has the cause under the request id.";

/** Makes a refusal with the usual status. */
export function refusal(
  request: Request,
  code: RefusalCode,
  detail: string,
  more: { problems?: Problem[]; retryAfterSeconds?: number | undefined; allow?: string[] } = {},
): Refusal {
  const problems = more.problems ?? [];
  return {
    code,
    status: code === "invalid" && problems.length > 0 ? 422 : usualStatus[code],
    detail,
    problems,
    retryAfterSeconds: more.retryAfterSeconds ?? retryAfterUsualS[code] ?? null,
    allow: more.allow ?? [],
    path: pathOf(request.url),
    requestId: requestId(request),
  };
}

/** What anything thrown means to the caller. Total; of a fault it says nothing but that there was one (`internal`), or what
 * the database lacks (`unavailable`). */
export function refusalOf(error: unknown, request: Request): Refusal {
  if (error instanceof EngineError) return refusal(request, error.code, error.message, error.options);
  if (error instanceof ValidationError) {
    return refusal(request, "invalid", `The ${error.type} of the request is not valid`, {
      problems: problemsOf(error),
    });
  }
  if (error instanceof ParseError) return refusal(request, "invalid", "The body of the request cannot be read");
  if (error instanceof NotFoundError) return refusal(request, "not_found", "There is nothing at this path");
  if (error instanceof ElysiaCustomStatusResponse) return ofStatus(request, Number(error.code));
  if (isPassingFault(error))
    return refusal(request, "unavailable", outageText(error), { retryAfterSeconds: outageRetryS });
  return refusal(request, "internal", faultDetail);
}

/** The path of a URL without its query, as it was sent. */
export function pathOf(url: string): string {
  const start = url.indexOf("/", 7);
  const end = url.indexOf("?", start);
  return start === -1 ? "/" : url.slice(start, end === -1 ? undefined : end);
}

function problemsOf(error: ValidationError): Problem[] {
  return error.all.map((found) => ({
    pointer: `/${error.type}${"path" in found && found.path !== "root" ? found.path : ""}`,
    detail: found.summary ?? "is not valid",
  }));
}

function ofStatus(request: Request, status: number): Refusal {
  const codes = Object.keys(usualStatus) as RefusalCode[];
  const code = status < 500 ? (codes.find((entry) => usualStatus[entry] === status) ?? "invalid") : "internal";
  return refusal(request, code, code === "internal" ? faultDetail : `The request was refused (${status})`);
}

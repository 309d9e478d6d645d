import type { Problem } from "../errors.ts";
import { type Refusal, type RefusalCode, usualStatus } from "./refusal.ts";

type Kind = { title: string; meaning: string };

/** What each problem type of our own API means and what to do about it; shown at `/problems/<code>`. */
export const problemKinds: Record<RefusalCode, Kind> = {
  invalid: {
    title: "Invalid request",
    meaning: "The request cannot be understood. `errors` points at what to change.",
  },
  unauthorized: { title: "Key required", meaning: "Send a key of AUTH_KEY, or for one job a token made for it." },
  forbidden: { title: "Forbidden", meaning: "This caller may not do this, whatever the request says." },
  not_found: { title: "Not found", meaning: "There is nothing under this path or id, or it is not yours." },
  conflict: { title: "Conflict", meaning: "The state of the job does not allow this. Read it again." },
  idempotency_mismatch: {
    title: "Idempotency key used before",
    meaning: "The same key came with another request. Use a new key for a new request.",
  },
  too_large: {
    title: "Too large",
    meaning: "The body is larger than this service accepts. `detail` says how much that is.",
  },
  unsupported_media_type: { title: "Unsupported media type", meaning: "Send the Content-Type that this path takes." },
  unsupported: { title: "Unsupported", meaning: "This is not offered here, by this function, or in this combination." },
  not_final: { title: "Not finished", meaning: "The job has not ended. Wait for it, or cancel it." },
  not_held: { title: "Not held", meaning: "Only a job that is on hold can be released." },
  queue_full: { title: "Queue full", meaning: "Too many tasks wait. Come back after Retry-After." },
  draining: { title: "Draining", meaning: "This node is stopping. Come back after Retry-After, or ask another node." },
  maintenance: { title: "Maintenance", meaning: "This node takes no work until somebody ends its maintenance." },
  unavailable: { title: "Unavailable", meaning: "Something this service needs is away. Come back after Retry-After." },
  method_not_allowed: { title: "Method not allowed", meaning: "The path knows other methods: see the Allow header." },
  internal: { title: "Internal error", meaning: "The service failed. Its log has the cause under the request id." },
};

type More = {
  status?: number;
  problems?: Problem[];
  retryAfterSeconds?: number | null;
  allow?: string[];
  path?: string;
  requestId?: string;
};

/**
 * An answer of our own API: `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`,
 * `instance`, `code`, `errors`, `request_id` and `retryable`, and the headers that its status asks for.
 */
export function problem(code: RefusalCode, detail: string, more: More = {}): Response {
  const status = more.status ?? usualStatus[code];
  const body = {
    type: `/problems/${code}`,
    title: problemKinds[code].title,
    status,
    detail,
    ...(more.path === undefined ? {} : { instance: more.path }),
    code,
    ...(more.problems?.length ? { errors: more.problems } : {}),
    ...(more.requestId ? { request_id: more.requestId } : {}),
    retryable: status === 429 || status === 503,
  };
  return new Response(JSON.stringify(body), { status, headers: refusalHeaders(status, more) });
}

/** `Refuse` in the words of RFC 9457. */
export function refuseWithProblem(refusal: Refusal): Response {
  return problem(refusal.code, refusal.detail, refusal);
}

function refusalHeaders(status: number, more: More): Headers {
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (status === 401) headers.set("www-authenticate", challenge);
  if (more.retryAfterSeconds != null) headers.set("retry-after", String(more.retryAfterSeconds));
  if (more.allow?.length) headers.set("allow", more.allow.join(", "));
  return headers;
}

/** The `WWW-Authenticate` of every 401 that asks for a key. */
export const challenge = 'Bearer realm="fairlead"';

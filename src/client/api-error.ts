export type ApiProblem = { pointer: string; detail: string };

type Facts = {
  status: number;
  code: string;
  problems: ApiProblem[];
  retryAfterSeconds: number | null;
  requestId: string | null;
};

/** The service refused. `code` is one of the closed list of its problems, such as `not_found`; `problems` point into the request. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  readonly problems: ApiProblem[];
  /** When to come back, as the service asked; null when it did not. */
  readonly retryAfterSeconds: number | null;
  readonly requestId: string | null;

  constructor(message: string, facts: Facts) {
    super(message);
    this.status = facts.status;
    this.code = facts.code;
    this.problems = facts.problems;
    this.retryAfterSeconds = facts.retryAfterSeconds;
    this.requestId = facts.requestId;
  }
}

/** Nobody answered, or the connection broke off. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** Reads a refusal; also one of a proxy or of another server, which is no problem document. */
export async function readApiError(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  const { detail, code, errors, request_id } = parseProblem(text);
  const message = typeof detail === "string" ? detail : `The service answered ${response.status}${where(response)}`;
  return new ApiError(message, {
    status: response.status,
    code: typeof code === "string" ? code : `http_${response.status}`,
    problems: Array.isArray(errors) ? errors.flatMap(readProblem) : [],
    retryAfterSeconds: secondsIn(response.headers.get("retry-after")),
    requestId: typeof request_id === "string" ? request_id : null,
  });
}

/** True for what may well succeed later: nobody there, too much to do, about to stop. */
export function isPassing(fault: unknown): boolean {
  if (fault instanceof ConnectionError) return true;
  return fault instanceof ApiError && (fault.status === 429 || fault.status >= 500);
}

/** Redirects are not followed: a POST would arrive as a GET, and the key somewhere else. */
function where(response: Response): string {
  const location = response.headers.get("location");
  if (response.type === "opaqueredirect") return " with a redirect: use the address that it leads to";
  return location === null || response.status < 300 || response.status > 399 ? "" : `, and points to ${location}`;
}

function parseProblem(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    // The page of a proxy, or nothing: the status has to do.
    return {};
  }
}

function readProblem(entry: unknown): ApiProblem[] {
  if (typeof entry !== "object" || entry === null || !("detail" in entry)) return [];
  return [{ pointer: "pointer" in entry ? String(entry.pointer) : "", detail: String(entry.detail) }];
}

function secondsIn(header: string | null): number | null {
  return header !== null && /^\d{1,7}$/.test(header) ? Number(header) : null;
}

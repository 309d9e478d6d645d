import { ApiError, ConnectionError, readApiError } from "./api-error.ts";

/** What the client needs of `fetch`. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export type SendOptions = {
  method?: "GET" | "POST" | "DELETE";
  headers?: Record<string, string>;
  body?: NonNullable<RequestInit["body"]>;
  signal?: AbortSignal;
};

/** Sends a request to a path of the service. Throws `ApiError` unless the answer is 2xx, `ConnectionError` without one, and the signal's reason when it fires. */
export type Send = (path: string, options?: SendOptions) => Promise<Response>;

/** Throws `TypeError` when `url` cannot be the address of a service. */
export function createSend(options: { url: string; key?: string; fetch?: Fetch }): Send {
  const base = baseOf(options.url);
  const call: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
  return async (path, { method = "GET", headers = {}, body, signal } = {}) => {
    const authorization = options.key === undefined ? {} : { authorization: `Bearer ${options.key}` };
    const init: RequestInit & { duplex?: "half" } = {
      method,
      headers: { accept: "application/json", ...authorization, ...headers },
      redirect: "manual",
      // Without it, Node and browsers refuse to send a stream.
      ...(body === undefined ? {} : { body, duplex: "half" }),
      ...(signal === undefined ? {} : { signal }),
    };
    const response = await call(`${base}${path}`, init).catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw unreachable(base, cause);
    });
    if (!response.ok) throw await readApiError(response);
    return response;
  };
}

/** The JSON of an answer. Throws `ApiError` when it is none, which is how another kind of server answers. */
export async function readJson<T>(response: Response): Promise<T> {
  const text = await response.text().catch((cause: unknown) => {
    throw new ConnectionError("The answer broke off", { cause });
  });
  try {
    return JSON.parse(text);
  } catch {
    const message = "The answer is not JSON: is this the address of a Fairlead service?";
    const facts = { code: "not_json", problems: [], retryAfterSeconds: null, requestId: null };
    throw new ApiError(message, { ...facts, status: response.status });
  }
}

function baseOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !["http:", "https:"].includes(parsed.protocol)) {
    throw new TypeError(`"${url}" is not the address of a service: write something like http://127.0.0.1:8080`);
  }
  return `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`;
}

function unreachable(base: string, cause: unknown): ConnectionError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const words = isRefused(cause) ? "nothing listens there" : reason;
  return new ConnectionError(`No answer from ${base}: ${words}`, { cause });
}

/** Bun says it on the fault itself, Node on what caused it. */
function isRefused(fault: unknown): boolean {
  const faults = fault instanceof Error ? [fault, fault.cause] : [];
  return faults.some(
    (one) => one instanceof Error && "code" in one && /^(ECONNREFUSED|ConnectionRefused)$/.test(String(one.code)),
  );
}

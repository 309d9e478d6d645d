import { findAddresses, readTarget } from "./target.ts";
import type { Networks } from "./networks.ts";
import { describeFault, isUnreached } from "./post-fault.ts";
import { readCapped } from "./read-capped.ts";
import { resolveHost, type Resolve } from "./resolve.ts";
import { parseRetryAfter } from "./retry-after.ts";

export type PostRequest = {
  url: string;
  /** All headers but `Host` and the length, which are set here. Client-given ones have passed `checkHeaders`. */
  headers: Readonly<Record<string, string>>;
  /** A Blob may be a file: it is sent as it is read. */
  body: string | Blob;
  /** For everything together: name, connection, request, whole answer. */
  timeoutMs: number;
  allow: Networks;
  /** Ends the attempt early, as when the service stops. */
  signal?: AbortSignal;
  resolve?: Resolve;
  responseBytesMax?: number;
  /** PEM of an authority to trust instead of the system's. */
  trustedCa?: string;
};

/** What came of one attempt. Reasons are words for the delivery record; they hold no header and no address. */
export type PostOutcome =
  | { kind: "answered"; status: number; durationMs: number; responseText: string; retryAfterS?: number }
  | { kind: "refused"; reason: string }
  | { kind: "failed"; reason: string; durationMs: number }
  | { kind: "interrupted" };

const responseBytesMaxDefault = 65_536;
const keptTextBytes = 1_024;
/** A receiver with several machines gets a second chance when one is down; no more, since each may cost the whole time. */
const connectionsMax = 3;

/**
 * One webhook attempt. The address that was checked is the one connected to: the request goes to the address itself, with `Host` and TLS
 * name of the URL, so no second look-up exists that could answer differently. Never follows a redirect, never goes through
 * a proxy of the environment (it would resolve the name again), never unpacks, reads at most `responseBytesMax` (64 KiB) of the answer.
 * Throws nothing that a receiver can cause.
 */
export async function post(request: PostRequest): Promise<PostOutcome> {
  const startedMs = performance.now();
  const durationMs = () => Math.round(performance.now() - startedMs);
  const deadline = startDeadline(request.timeoutMs, request.signal);
  try {
    return await attempt(request, deadline.signal, durationMs);
  } catch (fault) {
    if (request.signal?.aborted) return { kind: "interrupted" };
    const reason = deadline.signal.aborted ? `no whole answer within ${request.timeoutMs} ms` : describeFault(fault);
    return { kind: "failed", reason, durationMs: durationMs() };
  } finally {
    deadline.close();
  }
}

async function attempt(request: PostRequest, signal: AbortSignal, durationMs: () => number): Promise<PostOutcome> {
  signal.throwIfAborted();
  const target = readTarget(request.url, request.allow);
  if (target.kind === "refused") return { kind: "refused", reason: `the URL ${target.reason}` };
  const found = await beforeAbort(
    signal,
    findAddresses(target.url, { allow: request.allow, resolve: request.resolve ?? resolveHost }),
  );
  if (found.kind === "refused") return found;
  if (found.kind === "failed") return { ...found, durationMs: durationMs() };
  const response = await send(request, { url: target.url, addresses: found.addresses, signal });
  const body = await readCapped(response, request.responseBytesMax ?? responseBytesMaxDefault);
  const retryAfterS = parseRetryAfter(response.headers.get("retry-after"), Date.now());
  return {
    kind: "answered",
    status: response.status,
    durationMs: durationMs(),
    responseText: textOf(body.bytes, response.headers.get("content-encoding")),
    ...(retryAfterS === null ? {} : { retryAfterS }),
  };
}

type Route = { url: URL; addresses: readonly string[]; signal: AbortSignal };

/** Another address is tried only while nothing was sent: the receiver must not get one attempt twice. */
async function send(request: PostRequest, route: Route): Promise<Response> {
  let unreached: unknown;
  for (const address of route.addresses.slice(0, connectionsMax)) {
    try {
      return await sendTo(address, request, route);
    } catch (fault) {
      if (!isUnreached(fault)) throw fault;
      unreached = fault;
    }
  }
  throw unreached;
}

function sendTo(address: string, request: PostRequest, route: Route): Promise<Response> {
  const headers = new Headers({ accept: "*/*", "accept-encoding": "identity", ...request.headers });
  headers.set("host", route.url.host);
  headers.set("connection", "close");
  return fetch(urlOf(address, route.url), {
    method: "POST",
    headers,
    body: request.body,
    redirect: "manual",
    decompress: false,
    proxy: false,
    // A pooled connection was checked for the name of another delivery.
    keepalive: false,
    signal: route.signal,
    tls: {
      // Stated, so that NODE_TLS_REJECT_UNAUTHORIZED in the environment cannot switch it off.
      rejectUnauthorized: true,
      ...serverName(route.url),
      ...(request.trustedCa === undefined ? {} : { ca: request.trustedCa }),
    },
  });
}

function urlOf(address: string, url: URL): string {
  const host = address.includes(":") ? `[${address}]` : address;
  const port = url.port === "" ? "" : `:${url.port}`;
  return `${url.protocol}//${host}${port}${url.pathname}${url.search}`;
}

/** TLS knows no names for addresses (RFC 6066, section 3): there the certificate is checked for the address in the URL. */
function serverName(url: URL): { serverName?: string } {
  const isName = !url.hostname.startsWith("[") && !/^[\d.]+$/.test(url.hostname);
  return isName ? { serverName: url.hostname.replace(/\.$/, "") } : {};
}

function textOf(bytes: Uint8Array, encoding: string | null): string {
  if (encoding !== null && encoding !== "identity") return "(an encoded answer)";
  // In stream mode a character that is cut in two is left out rather than shown as broken.
  const text = new TextDecoder().decode(bytes.subarray(0, keptTextBytes), { stream: true });
  // Postgres stores no NUL, and terminals obey the others.
  return text.replace(/(?![\t\n\r])\p{Cc}/gu, "\uFFFD");
}

function startDeadline(timeoutMs: number, outer: AbortSignal | undefined): { signal: AbortSignal; close(): void } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, timeoutMs);
  if (outer?.aborted) abort();
  outer?.addEventListener("abort", abort);
  return {
    signal: controller.signal,
    close: () => {
      clearTimeout(timer);
      outer?.removeEventListener("abort", abort);
      // Drops the connection of an answer that was not read to its end.
      abort();
    },
  };
}

async function beforeAbort<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

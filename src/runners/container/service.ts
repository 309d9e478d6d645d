import type { Failure, RunSink } from "../contract.ts";
import { containerError } from "./container-error.ts";
import { type Link, type LinkResult, linkBody } from "./link.ts";
import { isLoopback } from "./loopback.ts";

import { readAnswer, readExcerpt } from "./read-answer.ts";

/** Where a service listens (`url` without a slash at its end) and under which container id failures are reported. */
export type ServiceTarget = { id: string; url: string; bearer: string | null };

/** Calls services that speak the container protocol. Connections are kept open between calls, until `close`. */
export type ServiceClient = {
  close(): void;
  /** One `POST {url}/service_output`. Rejects only when `signal` fires, with its reason. */
  call(target: ServiceTarget, link: Link, sink: RunSink, signal: AbortSignal): Promise<LinkResult>;
};

const excerpt = { charsMax: 2_000, withinMs: 2_000 };
// A connection that the service closed while it was idle fails at once; work that was begun fails later.
const staleWithinMs = 100;
const targetsMax = 10_000;

/** `bytesMax` bounds one answer, after decompression. */
export function createServiceClient(options: { bytesMax: number }): ServiceClient {
  const known = new Set<string>();
  const nearby = new Bun.FetchSession({ proxy: false });
  const elsewhere = new Bun.FetchSession();
  return {
    close() {
      nearby.close();
      elsewhere.close();
    },
    async call(target, link, sink, signal) {
      const session = isLoopback(new URL(target.url).hostname) ? nearby : elsewhere;
      const send = (keepalive: boolean) => request(target, link, { session, signal, keepalive });
      const startedAt = performance.now();
      let answered = await send(true);
      if (isReset(answered) && known.has(target.url) && performance.now() - startedAt < staleWithinMs) {
        const again = await send(false);
        if (again instanceof Response) answered = again;
      }
      if (!(answered instanceof Response)) {
        const lostConnection = codeOf(answered.fault) === "ECONNREFUSED" ? "before" : "during";
        return { ...failed(target, connectReason(target.url, answered.fault)), lostConnection };
      }
      if (known.size < targetsMax) known.add(target.url);
      return read(answered, { target, link, sink, signal, bytesMax: options.bytesMax });
    },
  };
}

type Fault = { fault: unknown };

type Connection = { session: Bun.FetchSession; signal: AbortSignal; keepalive: boolean };

async function request(target: ServiceTarget, link: Link, connection: Connection): Promise<Response | Fault> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (target.bearer !== null) headers.authorization = `Bearer ${target.bearer}`;
  if (link.traceparent !== null) headers.traceparent = link.traceparent;
  try {
    return await fetch(`${target.url}/service_output`, {
      method: "POST",
      headers,
      body: linkBody(link),
      redirect: "manual",
      // The run has its own deadline; Bun's would cut an answer that takes five minutes.
      timeout: false,
      ...connection,
    });
  } catch (fault) {
    connection.signal.throwIfAborted();
    return { fault };
  }
}

type Reading = { target: ServiceTarget; link: Link; sink: RunSink; signal: AbortSignal; bytesMax: number };

async function read(response: Response, reading: Reading): Promise<LinkResult> {
  const { target, link, sink, signal, bytesMax } = reading;
  if (!response.ok) return failed(target, await statusReason(response));
  const wanted = link.isStream ? null : mimeProblem(response);
  if (wanted !== null) return failed(target, `${wanted}${inBrackets(await readExcerpt(response, excerpt))}`);
  try {
    const onText = link.isStream ? (text: string) => sink.output("stream", text) : undefined;
    const { text } = await readAnswer(response, bytesMax, onText);
    if (text === null) return failed(target, `the answer has more than ${bytesMax} bytes`);
    return link.isStream ? { output: { output: text } } : parse(target, response.status, text);
  } catch (fault) {
    signal.throwIfAborted();
    return { ...failed(target, `the answer broke off: ${faultText(fault)}`), lostConnection: "during" };
  }
}

function parse(target: ServiceTarget, status: number, text: string): LinkResult {
  if (text.trim() === "") return failed(target, `answered ${status} with an empty body, not JSON`);
  try {
    return { output: JSON.parse(text), json: text };
  } catch (fault) {
    return failed(target, `the answer is not JSON: ${faultText(fault)}${inBrackets(text.slice(0, 200))}`);
  }
}

async function statusReason(response: Response): Promise<string> {
  const text = await readExcerpt(response, excerpt);
  const status = `answered ${response.status}${response.statusText === "" ? "" : ` ${response.statusText}`}`;
  const location = response.headers.get("location");
  return `${status}${location === null ? "" : ` to ${location}`}${text === "" ? "" : `: ${text}`}`;
}

// The text is the one that the original's HTTP library reports, which its users search their logs for.
function mimeProblem(response: Response): string | null {
  const mimetype = (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (/^application\/(?:[\w.+-]+\+)?json$/.test(mimetype)) return null;
  return `0, message='Attempt to decode JSON with unexpected mimetype: ${mimetype}', url='${response.url}'`;
}

function connectReason(url: string, fault: unknown): string {
  const { host } = new URL(url);
  const code = isReset({ fault }) ? "ECONNRESET" : codeOf(fault);
  if (code === "ECONNREFUSED")
    return `Cannot connect to host ${host}: nothing listens there. Start the service, or correct its port`;
  if (code === "ECONNRESET") return `${host} closed the connection without an answer`;
  return `Cannot connect to host ${host}: ${faultText(fault)}`;
}

function isReset(answered: Response | Fault): boolean {
  return !(answered instanceof Response) && codeOf(answered.fault) === "ECONNRESET";
}

function codeOf(fault: unknown): string {
  return fault instanceof Error && "code" in fault ? String(fault.code) : "";
}

function faultText(fault: unknown): string {
  const text = fault instanceof Error ? fault.message : String(fault);
  return text.replace(/\.? ?For more information, pass `verbose: true`.*$/s, "");
}

function inBrackets(text: string): string {
  return text === "" ? "" : ` (it says: ${text})`;
}

function failed(target: ServiceTarget, reason: string): { error: Failure } {
  return { error: containerError(target.id, reason) };
}

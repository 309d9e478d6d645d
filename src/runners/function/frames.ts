import type { LogLevel } from "../../log.ts";

/**
 * What travels between the server and a function process: one line each, over two sockets. Orders come in on descriptor 3;
 * replies go out on descriptor 4, written at once, so that what a function said before it died has been said.
 * `nonce` names one execution and is known to the two ends alone: a function cannot speak for the next one.
 */
export type Order =
  | {
      kind: "run";
      nonce: string;
      file: string;
      name: string;
      jobId: string;
      attempt: number;
      streaming: boolean;
      traceparent?: string;
      outputBytesMax: number;
      resultBytesMax: number;
      input?: unknown;
      inputJson?: string;
    }
  | { kind: "describe"; nonce: string; file: string; name: string }
  /** Ends what runs; nothing else is begun after it. */
  | { kind: "abort"; nonce: string; reason: "timed_out" | "cancelled" }
  /** Gives back what has not been begun. */
  | { kind: "release" };

export type Reply =
  | { kind: "ready" }
  /** `json` is the result as JSON text, empty when the function returned nothing. */
  | ({ kind: "done"; nonce: string; json: string } & Measured)
  | ({ kind: "failed"; nonce: string; code: FailedCode; message: string; isFatal: boolean } & Measured)
  | { kind: "stream"; nonce: string; text: string }
  | { kind: "log"; nonce: string; level: LogLevel; text: string }
  | { kind: "progress"; nonce: string; fraction: number; text: string | null }
  /** Answer to `abort`. Whether the function holds the signal, so that it is worth waiting for. */
  | { kind: "aborting"; nonce: string; isWatched: boolean }
  /** Printed while nothing was running. */
  | { kind: "stray"; text: string }
  /** Answer to `release`: these were not begun, and will not be. */
  | { kind: "released"; nonces: string[] }
  /** The process will end now; whatever it was given and has not answered was not begun. */
  | { kind: "retiring" };

/** What the process measured of one execution. */
export type Measured = { wallMs: number; cpuMs: number; rssMb: number };

export type FailedCode = "function_error" | "invalid" | "output_limit";

// Taken before any function is loaded: one that patches them must not break the channel of its process.
const { parse, stringify } = JSON;

/** One order as a line. An input that is JSON text already is put in as it is. */
export function orderLine(order: Order): string {
  if (order.kind !== "run" || order.inputJson === undefined) return `${stringify(order)}\n`;
  const { inputJson, ...rest } = order;
  // A line end inside the text would end the message; JSON allows it between values only, where it means nothing.
  const text = inputJson.includes("\n") ? inputJson.replaceAll("\n", " ") : inputJson;
  return `${stringify(rest).slice(0, -1)},"input":${text}}\n`;
}

/** One reply as a line. A result is put in as it is, so that its JSON is written once. */
export function replyLine(reply: Reply): string {
  if (reply.kind === "done") {
    return `+${reply.nonce} ${reply.wallMs} ${reply.cpuMs} ${reply.rssMb} ${reply.json}\n`;
  }
  return `${stringify(reply)}\n`;
}

/** The reply in a line (without its newline), or null when it is not one. */
export function readReply(line: string): Reply | null {
  if (line.startsWith("+")) return readDone(line);
  try {
    const value: unknown = parse(line);
    return isReply(value) ? value : null;
  } catch {
    // Only a function that writes to the reply socket by itself gets here.
    return null;
  }
}

function readDone(line: string): Reply | null {
  const ends: number[] = [];
  for (let at = 0; ends.length < 4;) {
    at = line.indexOf(" ", at + 1);
    if (at < 0) return null;
    ends.push(at);
  }
  const [nonceEnd = 0, wallEnd = 0, cpuEnd = 0, rssEnd = 0] = ends;
  const wallMs = Number(line.slice(nonceEnd + 1, wallEnd));
  const cpuMs = Number(line.slice(wallEnd + 1, cpuEnd));
  const rssMb = Number(line.slice(cpuEnd + 1, rssEnd));
  if (!isAmount(wallMs) || !isAmount(cpuMs) || !isAmount(rssMb)) return null;
  return { kind: "done", nonce: line.slice(1, nonceEnd), wallMs, cpuMs, rssMb, json: line.slice(rssEnd + 1) };
}

const levels: readonly unknown[] = ["debug", "info", "warn", "error"];
const failedCodes: readonly unknown[] = ["function_error", "invalid", "output_limit"];

function isReply(value: unknown): value is Reply {
  if (typeof value !== "object" || value === null) return false;
  const reply = value as Record<string, unknown>;
  if (reply.kind === "ready" || reply.kind === "retiring") return true;
  if (reply.kind === "stray") return typeof reply.text === "string";
  if (reply.kind === "released") return isTexts(reply.nonces);
  return typeof reply.nonce === "string" && isTaskReply(reply);
}

function isTaskReply(reply: Record<string, unknown>): boolean {
  const hasText = typeof reply.text === "string";
  switch (reply.kind) {
    case "stream":
      return hasText;
    case "log":
      return hasText && levels.includes(reply.level);
    case "progress":
      return isAmount(reply.fraction) && (hasText || reply.text === null);
    case "aborting":
      return typeof reply.isWatched === "boolean";
    case "failed":
      return typeof reply.message === "string" && failedCodes.includes(reply.code) && hasFacts(reply);
    default:
      return false;
  }
}

function hasFacts(reply: Record<string, unknown>): boolean {
  const amounts = [reply.wallMs, reply.cpuMs, reply.rssMb];
  return amounts.every(isAmount) && typeof reply.isFatal === "boolean";
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

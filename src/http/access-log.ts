import type { LogLevel } from "../log.ts";
import type { Exchange } from "./exchange.ts";
import { pathOf } from "./refusal.ts";

export type AccessLog = (request: Request, status: number, exchange: Exchange, ms: number) => void;

const pathCharsMax = 2_000;

/**
 * One JSON line per request, in the shape of the log: method, path, status, ms to the first byte of the answer, bytes
 * of its body when known, client and request id. Queries and headers are never in it: they carry tokens. Only
 * failures of ours (5xx) are above level `info`.
 */
export function createAccessLog(options: {
  level: LogLevel;
  write: (line: string) => void;
  addressOf: (request: Request) => string;
}): AccessLog {
  if (options.level === "error") return () => undefined;
  const takesAll = options.level !== "warn";
  const clock = createClock();
  return (request, status, exchange, ms) => {
    if (!takesAll && status < 500) return;
    const client = exchange.client === "" ? `ip:${options.addressOf(request)}` : exchange.client;
    // By hand, because every request pays for it: JSON.stringify of the object takes three times as long.
    options.write(
      `{"at":"${clock()}","level":"${status < 500 ? "info" : "warn"}","event":"request","method":"${request.method}","path":${quoted(pathOf(request.url))},"status":${status},"ms":${Math.round(ms * 10) / 10},"bytes":${exchange.bytes},"client":${quoted(client)},"request_id":"${exchange.id}"}\n`,
    );
  };
}

/** ISO time, made once per millisecond. */
function createClock(): () => string {
  let atMs = 0;
  let text = "";
  return () => {
    const nowMs = Date.now();
    if (nowMs !== atMs) {
      atMs = nowMs;
      text = new Date(nowMs).toISOString();
    }
    return text;
  };
}

function quoted(text: string): string {
  return isPlain(text) && text.length <= pathCharsMax ? `"${text}"` : JSON.stringify(text.slice(0, pathCharsMax));
}

/**
 * Searches of the string are several times faster than a pattern here, and the HTTP parser lets no control characters
 * through.
 */
function isPlain(text: string): boolean {
  return !text.includes('"') && !text.includes("\\");
}

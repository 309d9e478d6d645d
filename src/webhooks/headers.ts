import { EngineError, type Problem } from "../errors.ts";

export type HeaderMap = Readonly<Record<string, string>>;

const headersMax = 20;
const headersBytesMax = 8_192;
/** They steer the connection, or are ours to set. Names that start with `proxy-` or `webhook-` are refused as well. */
const deniedNames = new Set([
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "expect",
  "te",
  "upgrade",
  "http2-settings",
  "trailer",
  "keep-alive",
]);
const deniedPrefixes = ["proxy-", "webhook-"];

/**
 * Headers that a client or the configuration wants on a webhook: an object of names to texts (numbers and booleans become texts). Throws
 * `EngineError("invalid")` with a pointer below `pointer` for each that is unfit. Messages never show a value: it may be a secret.
 */
export function checkHeaders(given: unknown, pointer: string): HeaderMap {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw refusal([{ pointer, detail: "must be an object of header names to texts" }]);
  }
  const entries = Object.entries(given);
  if (entries.length > headersMax)
    throw refusal([{ pointer, detail: `must not hold more than ${headersMax} headers` }]);
  const bytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(`${name}: ${String(value)}\r\n`), 0);
  if (bytes > headersBytesMax) throw refusal([{ pointer, detail: `must not be longer than ${headersBytesMax} bytes` }]);
  const problems = entries.flatMap(([name, value]): Problem[] => {
    const detail = nameProblem(name, entries) ?? valueProblem(value);
    return detail === null ? [] : [{ pointer: `${pointer}/${escapePointer(name)}`, detail }];
  });
  if (problems.length > 0) throw refusal(problems);
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}

/** Several sets of headers as one. Names are compared without case; the later set wins. */
export function mergeHeaders(...sets: readonly HeaderMap[]): HeaderMap {
  const merged = new Map<string, [name: string, value: string]>();
  for (const set of sets) {
    for (const [name, value] of Object.entries(set)) merged.set(name.toLowerCase(), [name, value]);
  }
  return Object.fromEntries(merged.values());
}

function nameProblem(name: string, entries: readonly [string, unknown][]): string | null {
  const lower = name.toLowerCase();
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]{1,128}$/.test(lower)) return "is not a header name";
  if (deniedNames.has(lower) || deniedPrefixes.some((prefix) => lower.startsWith(prefix))) {
    return "must not be set by a client";
  }
  const spellings = entries.filter(([other]) => other.toLowerCase() === lower).length;
  return spellings > 1 ? "is given more than once" : null;
}

function valueProblem(value: unknown): string | null {
  if (!["string", "number", "boolean"].includes(typeof value)) return "must be a text";
  const text = String(value);
  if (!/^[\t\x20-\x7e]*$/.test(text)) return "must be printable ASCII on one line";
  return text === text.trim() ? null : "must not begin or end with white space";
}

/** RFC 6901, section 3; control characters are dropped, since the pointer is shown. */
function escapePointer(name: string): string {
  return name
    .replace(/\p{Cc}/gu, "")
    .slice(0, 128)
    .replaceAll("~", "~0")
    .replaceAll("/", "~1");
}

function refusal(problems: Problem[]): EngineError {
  return new EngineError("invalid", "The webhook headers cannot be used", { problems });
}

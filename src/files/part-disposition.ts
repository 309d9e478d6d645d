import { EngineError } from "../errors.ts";

/** What a part says about itself; `fileName` is null for a text part. */
export type PartDisposition = { name: string; fileName: string | null };

const nameBytesMax = 1_024;

/**
 * Reads the `Content-Disposition` of a part. `raw` holds one character per byte; names are UTF-8 (RFC 7578, 5.1).
 * `filename*` (RFC 8187) wins over `filename`. Throws `invalid` for anything that could be read in two ways.
 */
export function parsePartDisposition(raw: string): PartDisposition {
  const text = decodeUtf8(raw);
  const type = /^[ \t]*form-data[ \t]*(?=;|$)/i.exec(text);
  if (type === null) throw refusal("does not start with form-data");
  const parameters = readParameters(text, type[0].length);
  const name = extended(parameters.get("name*")) ?? parameters.get("name") ?? null;
  const fileName = extended(parameters.get("filename*")) ?? parameters.get("filename") ?? null;
  if (name === null && fileName === null) throw refusal("has neither a name nor a filename");
  if (Buffer.byteLength(name ?? "") > nameBytesMax) throw refusal(`has a name of more than ${nameBytesMax} bytes`);
  return { name: name ?? "", fileName };
}

function readParameters(text: string, from: number): Map<string, string> {
  const parameters = new Map<string, string>();
  const parameter =
    /[ \t]*;[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[\s\S])*)"|([^";\s]*)))?[ \t]*/y;
  parameter.lastIndex = from;
  while (parameter.lastIndex < text.length) {
    const match = parameter.exec(text);
    if (match === null) throw refusal("cannot be read");
    const [, key, quoted, token] = match;
    if (key === undefined) continue;
    if (parameters.has(key.toLowerCase())) throw refusal(`says ${key.toLowerCase()} twice`);
    parameters.set(key.toLowerCase(), quoted === undefined ? (token ?? "") : withoutEscapes(quoted));
  }
  return parameters;
}

/** Only `\"` and `\\` are escapes: some clients send Windows paths with single backslashes. */
function withoutEscapes(quoted: string): string {
  return quoted.replace(/\\(["\\])/g, "$1");
}

function extended(value: string | undefined): string | null {
  if (value === undefined) return null;
  const match = /^utf-8'[^']*'((?:[^%]|%[0-9a-f]{2})*)$/i.exec(value);
  if (match?.[1] === undefined) throw refusal("has an extended value that is not UTF-8 in percent encoding");
  const bytes = Buffer.from(match[1], "utf8")
    .toString("latin1")
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return decodeUtf8(bytes);
}

function decodeUtf8(raw: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(raw, "latin1"));
  } catch (cause) {
    throw refusal("is not UTF-8", cause);
  }
}

function refusal(problem: string, cause?: unknown): EngineError {
  return new EngineError("invalid", `The Content-Disposition of a part ${problem}`, { cause });
}

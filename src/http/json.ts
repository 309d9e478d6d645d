import { EngineError } from "../errors.ts";

const quote = 0x22;
const backslash = 0x5c;
/**
 * Texts in which a number might overflow to infinity: a three-digit exponent, or more digits than the largest number
 * has.
 */
const mayOverflow = /\d[eE]\+?\d{3}|\d{309}/;
/** `__proto__` in clear, or hidden behind an escape. */
const mayNameProto = /__proto__|\\u00/;

/** JSON from bytes, as `readJson` promises it. Throws `EngineError` invalid. */
export function parseJson(bytes: Uint8Array, maxDepth: number): unknown {
  if (bytes.byteLength === 0) throw new EngineError("invalid", "The body is empty; it must be JSON");
  // Every level takes two characters, so a short text cannot be too deep.
  if (bytes.byteLength > 2 * maxDepth && depthOf(bytes) > maxDepth) {
    throw new EngineError("invalid", `The body nests deeper than ${maxDepth} levels`);
  }
  const text = decode(bytes);
  const value = parse(text);
  if (mayNameProto.test(text)) dropProto(value);
  if (mayOverflow.test(text)) refuseInfinity(value);
  return value;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new EngineError("invalid", "The body is not valid UTF-8", { cause });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/^JSON Parse error: /, "").slice(0, 200) : "";
    throw new EngineError("invalid", `The body is not valid JSON: ${why}`, { cause });
  }
}

/** How deep brackets stand in each other, outside of texts; an upper bound for anything that is JSON at all. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let isText = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) isText = !isText;
    else if (isText) at += byte === backslash ? 1 : 0;
    else if (byte === 0x5b || byte === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return deepest;
}

function dropProto(value: unknown): void {
  eachObject(value, (entry) => {
    if (Object.hasOwn(entry, "__proto__")) Reflect.deleteProperty(entry, "__proto__");
  });
}

function refuseInfinity(value: unknown): void {
  const refuse = (found: unknown) => {
    if (found === Number.POSITIVE_INFINITY || found === Number.NEGATIVE_INFINITY) {
      throw new EngineError("invalid", "The body holds a number that is too large to be represented");
    }
  };
  refuse(value);
  eachObject(value, (entry) => Object.values(entry).forEach(refuse));
}

/** Visits arrays too. The value is as shallow as `maxDepth`, and it is a tree. */
function eachObject(value: unknown, visit: (entry: object) => void): void {
  if (typeof value !== "object" || value === null) return;
  visit(value);
  for (const inner of Object.values(value)) eachObject(inner, visit);
}

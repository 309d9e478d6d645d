import { pythonFloatText } from "./python-json.ts";

/** A value as Python would hold it: `bigint` is an int, `number` a float. */
export type PythonValue = bigint | number | string | boolean | null | PythonValue[] | { [key: string]: PythonValue };

/** The Python exceptions that an expression can end with; the message is meant for the author of a document. */
export class PythonValueError extends Error {
  override readonly name = "PythonValueError";
}

/** A JSON value as Python would load it. A whole number counts as an int. What JSON cannot hold becomes None. */
export function fromJson(value: unknown): PythonValue {
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "bigint") return value;
  if (Array.isArray(value)) return value.map((item) => fromJson(item));
  if (typeof value !== "object" || value === null) return null;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromJson(item)]));
}

/** The JSON value of a Python one. Ints beyond what a JSON number holds exactly become their digits as text. */
export function toJson(value: PythonValue): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (Array.isArray(value)) return value.map((item) => toJson(item));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
}

/** Python's `str(value)`. */
export function pythonStr(value: PythonValue): string {
  return typeof value === "string" ? value : pythonRepr(value);
}

/** Python's `bool(value)`. */
export function isTruthy(value: PythonValue): boolean {
  if (value === null || typeof value === "boolean") return value === true;
  if (typeof value === "bigint") return value !== 0n;
  if (typeof value === "number") return value !== 0;
  if (typeof value === "string" || Array.isArray(value)) return value.length > 0;
  return Object.keys(value).length > 0;
}

/** Python's `==`: numbers by value, True as 1, lists and dicts by their parts, everything else only within its type. */
export function pythonEquals(a: PythonValue, b: PythonValue): boolean {
  const [left, right] = [asNumber(a), asNumber(b)];
  // The loose comparison is meant: it is what makes 1n and 1.0 equal.
  // biome-ignore lint/suspicious/noDoubleEquals: compares a bigint with a number by value
  if (left !== null && right !== null) return left == right;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, at) => pythonEquals(item, b[at] ?? null));
  }
  if (!isDict(a) || !isDict(b)) return a === b;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && pythonEquals(a[key] ?? null, b[key] ?? null))
  );
}

/** The number behind a value, with True as 1; null for what is no number. */
export function asNumber(value: PythonValue): bigint | number | null {
  if (typeof value === "boolean") return value ? 1n : 0n;
  return typeof value === "bigint" || typeof value === "number" ? value : null;
}

export function isDict(value: PythonValue): value is { [key: string]: PythonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The name of a value's type, for messages. */
export function typeName(value: PythonValue): string {
  if (value === null) return "None";
  if (Array.isArray(value)) return "list";
  return { bigint: "int", number: "float", string: "str", boolean: "bool", object: "dict" }[typeof value as "bigint"];
}

function pythonRepr(value: PythonValue): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return pythonFloatText(value).replace("Infinity", "inf").replace("NaN", "nan");
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map((item) => pythonRepr(item)).join(", ")}]`;
  const pairs = Object.entries(value).map(([key, item]) => `${quoted(key)}: ${pythonRepr(item)}`);
  return `{${pairs.join(", ")}}`;
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t");
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

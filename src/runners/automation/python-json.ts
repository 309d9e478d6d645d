/** A number that Python would hold as a float although its value is whole: `1.0`, `1e3`, `-0.0`. */
export class PythonFloat {
  constructor(readonly value: number) {}
}

const depthMax = 200;
const escapes: Record<string, string> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};

/**
 * What Python's `json.dumps(value, sort_keys=True)` writes, byte for byte: `", "` and `": "` between parts, keys in
 * order of code points, everything but printable ASCII escaped, floats as `repr` writes them.
 * A whole `number` counts as an int; use `parsePythonJson` to keep `1.0` and `1` apart.
 * Throws `TypeError` for what JSON cannot hold and for nesting deeper than 200.
 */
export function pythonJson(value: unknown): string {
  return written(value, 0);
}

/** Parses a JSON text as Python does: ints of any length as `bigint`, floats as `PythonFloat`. Throws `SyntaxError`. */
export function parsePythonJson(text: string): unknown {
  return JSON.parse(text, reviveNumber);
}

/** `repr` of a Python float: `1.0`, `1e-05`, `1e+16`, `-0.0`; `Infinity` and `NaN` in the words of JSON. */
export function pythonFloatText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const sign = value < 0 ? "-" : "";
  const [mantissa = "", power = "0"] = Math.abs(value).toExponential().split("e");
  const exponent = Number(power);
  const digits = mantissa.replace(".", "");
  return sign + (exponent < -4 || exponent >= 16 ? scientific(digits, exponent) : positional(digits, exponent));
}

/** The order of code points, in which Python sorts strings; JavaScript's own order is that of UTF-16 units. */
export function comparePythonStrings(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  const shared = Math.min(left.length, right.length);
  for (let at = 0; at < shared; at += 1) {
    const difference = (left[at]?.codePointAt(0) ?? 0) - (right[at]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function written(value: unknown, depth: number): string {
  if (depth > depthMax) throw new TypeError(`A value nested deeper than ${depthMax} levels cannot be written as JSON`);
  if (value === null) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "string") return stringText(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return Number.isInteger(value) ? wholeText(value) : pythonFloatText(value);
  if (value instanceof PythonFloat) return pythonFloatText(value.value);
  if (Array.isArray(value)) return `[${value.map((item) => written(item, depth + 1)).join(", ")}]`;
  if (typeof value === "object") return objectText(value, depth);
  throw new TypeError(`A value of type ${typeof value} cannot be written as JSON`);
}

function objectText(value: object, depth: number): string {
  const pairs = Object.entries(value).filter(([, item]) => item !== undefined);
  pairs.sort(([a], [b]) => comparePythonStrings(a, b));
  return `{${pairs.map(([key, item]) => `${stringText(key)}: ${written(item, depth + 1)}`).join(", ")}}`;
}

/** A whole `number` as a Python int writes itself: all digits, never an exponent, and no minus before zero. */
function wholeText(value: number): string {
  return BigInt(value).toString();
}

function stringText(text: string): string {
  let out = '"';
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    const escaped = escapes[text.charAt(at)];
    if (escaped !== undefined) out += escaped;
    else if (unit >= 0x20 && unit <= 0x7e) out += text.charAt(at);
    else out += `\\u${unit.toString(16).padStart(4, "0")}`;
  }
  return `${out}"`;
}

function scientific(digits: string, exponent: number): string {
  const rest = digits.slice(1);
  const power = String(Math.abs(exponent)).padStart(2, "0");
  return `${digits.slice(0, 1)}${rest === "" ? "" : `.${rest}`}e${exponent < 0 ? "-" : "+"}${power}`;
}

function positional(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${whole}.${digits.slice(exponent + 1) || "0"}`;
}

function reviveNumber(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number") return value;
  const source = context?.source ?? String(value);
  return /[.eE]/.test(source) ? new PythonFloat(value) : BigInt(source);
}

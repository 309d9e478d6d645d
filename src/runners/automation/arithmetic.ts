import type { Arithmetic, CallName, Comparison } from "./condition-parse.ts";
import {
  asNumber,
  isDict,
  isTruthy,
  PythonValueError,
  pythonEquals,
  pythonStr,
  type PythonValue,
  typeName,
} from "./python-value.ts";

/** Results larger than these are refused: an expression must not be able to fill the memory. */
const intBitsMax = 4_096n;
const lengthMax = 1_000_000;

/** Python's binary arithmetic over numbers, plus `+` and `*` of strings and lists. Throws `PythonValueError`. */
export function calculate(symbol: Arithmetic, left: PythonValue, right: PythonValue): PythonValue {
  const [a, b] = [asNumber(left), asNumber(right)];
  if (a !== null && b !== null) return bounded(numbers(symbol, a, b));
  if (symbol === "+" && typeof left === "string" && typeof right === "string") return checkedLength(left + right);
  if (symbol === "+" && Array.isArray(left) && Array.isArray(right)) return checkedLength([...left, ...right]);
  if (symbol === "*" && typeof left === "string" && typeof b === "bigint") return repeated(left, b);
  if (symbol === "*" && typeof right === "string" && typeof a === "bigint") return repeated(right, a);
  throw new PythonValueError(`${symbol} does not work between ${typeName(left)} and ${typeName(right)}`);
}

/** One link of a Python comparison. Throws `PythonValueError` for types that have no order. */
export function holds(symbol: Comparison, left: PythonValue, right: PythonValue): boolean {
  switch (symbol) {
    case "==":
      return pythonEquals(left, right);
    case "!=":
      return !pythonEquals(left, right);
    case "is":
      return typeName(left) === typeName(right) && pythonEquals(left, right);
    case "is not":
      return !holds("is", left, right);
    case "in":
      return isIn(left, right);
    case "not in":
      return !isIn(left, right);
    default:
      return ordered(symbol, left, right);
  }
}

/** `len str int float bool`. Throws `PythonValueError` for what they refuse. */
export function convert(name: CallName, value: PythonValue): PythonValue {
  if (name === "str") return pythonStr(value);
  if (name === "bool") return isTruthy(value);
  if (name === "len") return lengthOf(value);
  const number = asNumber(value) ?? (typeof value === "string" ? parsedNumber(value, name) : null);
  if (number === null) throw new PythonValueError(`${name}() does not take ${typeName(value)}`);
  if (name === "float") return Number(number);
  if (typeof number === "bigint") return number;
  if (!Number.isFinite(number)) throw new PythonValueError(`int() does not take ${pythonStr(number)}`);
  return BigInt(Math.trunc(number));
}

function numbers(symbol: Arithmetic, a: bigint | number, b: bigint | number): bigint | number {
  if ((symbol === "/" || symbol === "//" || symbol === "%") && Number(b) === 0) {
    throw new PythonValueError("division by zero");
  }
  const isWhole = typeof a === "bigint" && typeof b === "bigint" && symbol !== "/" && !(symbol === "**" && b < 0n);
  return isWhole ? whole(symbol, a, b) : floats(symbol, Number(a), Number(b));
}

function whole(symbol: Arithmetic, a: bigint, b: bigint): bigint {
  switch (symbol) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "**":
      // Checked before it is computed: the result itself could be too large to hold.
      if (BigInt(a.toString(2).length) * b > intBitsMax) throw new PythonValueError("the number grows too large");
      return a ** b;
    default: {
      // Python rounds towards minus infinity, JavaScript towards zero.
      const rest = a % b;
      const isShifted = rest !== 0n && rest < 0n !== b < 0n;
      if (symbol === "%") return isShifted ? rest + b : rest;
      return isShifted ? a / b - 1n : a / b;
    }
  }
}

function floats(symbol: Arithmetic, a: number, b: number): number {
  switch (symbol) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "//":
      return Math.floor(a / b);
    case "%":
      return a - Math.floor(a / b) * b;
    default:
      return a ** b;
  }
}

function bounded(value: bigint | number): bigint | number {
  if (typeof value === "bigint" && BigInt(value.toString(2).length) > intBitsMax) {
    throw new PythonValueError("the number grows too large");
  }
  return value;
}

function repeated(text: string, times: bigint): string {
  const count = times < 0n ? 0n : times;
  if (BigInt(text.length) * count > BigInt(lengthMax)) throw new PythonValueError("the text grows too long");
  return text.repeat(Number(count));
}

function checkedLength<T extends string | PythonValue[]>(value: T): T {
  if (value.length > lengthMax) throw new PythonValueError("the value grows too long");
  return value;
}

function lengthOf(value: PythonValue): bigint {
  if (typeof value === "string") return BigInt([...value].length);
  if (Array.isArray(value)) return BigInt(value.length);
  if (isDict(value)) return BigInt(Object.keys(value).length);
  throw new PythonValueError(`len() does not take ${typeName(value)}`);
}

function isIn(left: PythonValue, right: PythonValue): boolean {
  if (Array.isArray(right)) return right.some((item) => pythonEquals(item, left));
  if (typeof right === "string" && typeof left === "string") return right.includes(left);
  if (isDict(right)) return typeof left === "string" && Object.hasOwn(right, left);
  throw new PythonValueError(`"in" does not work with ${typeName(left)} and ${typeName(right)}`);
}

function ordered(symbol: "<" | "<=" | ">" | ">=", left: PythonValue, right: PythonValue): boolean {
  const [a, b] = [asNumber(left) ?? left, asNumber(right) ?? right];
  const areNumbers = typeof a !== "string" && typeof b !== "string" && asNumber(a) !== null && asNumber(b) !== null;
  if (!areNumbers && !(typeof a === "string" && typeof b === "string")) {
    throw new PythonValueError(`"${symbol}" does not work between ${typeName(left)} and ${typeName(right)}`);
  }
  const [x, y] = [a as number, b as number];
  return { "<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y }[symbol];
}

function parsedNumber(text: string, name: "int" | "float"): bigint | number {
  const trimmed = text.trim().replaceAll(/(?<=\d)_(?=\d)/g, "");
  if (name === "int" && /^[+-]?\d{1,1000}$/.test(trimmed)) return BigInt(trimmed.replace("+", ""));
  if (name === "float" && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(trimmed)) return Number(trimmed);
  throw new PythonValueError(`${name}() cannot read ${JSON.stringify(text.slice(0, 80))}`);
}

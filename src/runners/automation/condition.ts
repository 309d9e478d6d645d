import { calculate, convert, holds } from "./arithmetic.ts";
import { type Expression, parseExpression } from "./condition-parse.ts";
import { PythonSyntaxError } from "./python-syntax-error.ts";
import { asNumber, isDict, isTruthy, PythonValueError, type PythonValue, typeName } from "./python-value.ts";

/** What an expression may see. */
export type Surroundings = {
  /** The value of a variable; undefined when there is none of that name. */
  lookup(name: string): PythonValue | undefined;
  /** Fills the placeholders of a string literal. */
  interpolate?(text: string): string;
  /** Allows `body.status`: the keys of a stored response. */
  members?: boolean;
  /** `{name[0]}` stands for the text of the value, so that "3" is the number 3 (as in `set_variable`). */
  bracesAreText?: boolean;
};

/**
 * The value of a Python-style expression, computed by our own interpreter over the given variables.
 * Throws `PythonSyntaxError` for what is not in the grammar, `PythonValueError` for what Python would raise.
 */
export function evaluateExpression(text: string, surroundings: Surroundings): PythonValue {
  return evaluate(parseExpression(text, { members: surroundings.members ?? false }), surroundings);
}

/** Whether a Python-style condition holds. Throws as `evaluateExpression` does. */
export function isConditionTrue(text: string, surroundings: Surroundings): boolean {
  return isTruthy(evaluateExpression(text, surroundings));
}

/** Why a condition cannot be read, or null. */
export function conditionProblem(text: string, members = false): string | null {
  try {
    parseExpression(text, { members });
    return null;
  } catch (fault) {
    if (fault instanceof PythonSyntaxError) return fault.message;
    throw fault;
  }
}

function evaluate(node: Expression, around: Surroundings): PythonValue {
  switch (node.op) {
    case "value":
      return node.value;
    case "text":
      return around.interpolate?.(node.value) ?? node.value;
    case "name":
      return variable(node.name, node.at, around);
    case "braced":
      return around.bracesAreText === true ? literal(evaluate(node.of, around)) : evaluate(node.of, around);
    case "index":
      return at(node.at, () => item(evaluate(node.of, around), evaluate(node.index, around)));
    case "member":
      return at(node.at, () => item(evaluate(node.of, around), node.key));
    case "call":
      return at(node.at, () => convert(node.name, evaluate(node.of, around)));
    case "list":
      return node.items.map((part) => evaluate(part, around));
    case "not":
      return !isTruthy(evaluate(node.of, around));
    case "sign":
      return at(node.at, () => signed(evaluate(node.of, around), node.negative));
    case "arithmetic":
      return at(node.at, () => calculate(node.symbol, evaluate(node.left, around), evaluate(node.right, around)));
    case "compare":
      return chained(node, around);
    case "and":
    case "or":
      return shortened(node, around);
  }
}

/** `a < b < c` compares each neighbour once and stops at the first that does not hold. */
function chained(node: Extract<Expression, { op: "compare" }>, around: Surroundings): boolean {
  let left = evaluate(node.first, around);
  for (const link of node.rest) {
    const right = evaluate(link.right, around);
    if (!at(link.at, () => holds(link.symbol, left, right))) return false;
    left = right;
  }
  return true;
}

/** `and` and `or` give the deciding value itself, and do not look further. */
function shortened(node: Extract<Expression, { op: "and" | "or" }>, around: Surroundings): PythonValue {
  let value: PythonValue = null;
  for (const part of node.parts) {
    value = evaluate(part, around);
    if (isTruthy(value) === (node.op === "or")) return value;
  }
  return value;
}

function variable(name: string, position: number, around: Surroundings): PythonValue {
  const value = around.lookup(name);
  if (value === undefined) {
    throw new PythonValueError(`there is no variable "${name}" (at character ${position + 1})`);
  }
  return value;
}

function item(of: PythonValue, index: PythonValue): PythonValue {
  if (isDict(of) && typeof index === "string") {
    const value = Object.hasOwn(of, index) ? of[index] : undefined;
    if (value === undefined) throw new PythonValueError(`there is no key ${JSON.stringify(index)}`);
    return value;
  }
  const number = asNumber(index);
  const parts = typeof of === "string" ? [...of] : of;
  if (!Array.isArray(parts) || typeof number !== "bigint") {
    throw new PythonValueError(`${typeName(of)} cannot be indexed with ${typeName(index)}`);
  }
  const value = parts.at(Number(number));
  if (value === undefined) throw new PythonValueError(`index ${number} is out of range (there are ${parts.length})`);
  return value;
}

function signed(value: PythonValue, negative: boolean): PythonValue {
  const number = asNumber(value);
  if (number === null) throw new PythonValueError(`a sign does not work on ${typeName(value)}`);
  return negative ? -number : number;
}

/** The value that a text would be if it stood in the expression: a number or constant, else the text itself. */
function literal(value: PythonValue): PythonValue {
  if (typeof value !== "string") return value;
  const text = value.trim();
  if (/^-?\d{1,1000}$/.test(text)) return BigInt(text);
  if (/^-?(\d+\.\d*|\.\d+|\d+(?:\.\d*)?[eE][+-]?\d+)$/.test(text)) return Number(text);
  const constants: Record<string, PythonValue> = { True: true, False: false, None: null };
  return Object.hasOwn(constants, text) ? (constants[text] ?? null) : value;
}

function at<T>(position: number, compute: () => T): T {
  try {
    return compute();
  } catch (fault) {
    if (!(fault instanceof PythonValueError) || fault.message.includes("at character")) throw fault;
    throw new PythonValueError(`${fault.message} (at character ${position + 1})`, { cause: fault });
  }
}

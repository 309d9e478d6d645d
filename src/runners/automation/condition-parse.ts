import { PythonCursor } from "./python-cursor.ts";
import { PythonSyntaxError } from "./python-syntax-error.ts";
import type { PythonValue } from "./python-value.ts";

/** The tree of an expression. `at` is where its text stands, for messages. */
export type Expression =
  | { op: "value"; value: PythonValue }
  | { op: "text"; value: string }
  | { op: "name"; name: string; at: number }
  | { op: "braced"; of: Expression }
  | { op: "index"; of: Expression; index: Expression; at: number }
  | { op: "member"; of: Expression; key: string; at: number }
  | { op: "call"; name: CallName; of: Expression; at: number }
  | { op: "list"; items: Expression[] }
  | { op: "not"; of: Expression }
  | { op: "sign"; negative: boolean; of: Expression; at: number }
  | { op: "arithmetic"; symbol: Arithmetic; left: Expression; right: Expression; at: number }
  | { op: "compare"; first: Expression; rest: { symbol: Comparison; right: Expression; at: number }[] }
  | { op: "and" | "or"; parts: Expression[] };
export type Arithmetic = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type Comparison = "<" | "<=" | ">" | ">=" | "==" | "!=" | "in" | "not in" | "is" | "is not";
const callNames = ["len", "str", "int", "float", "bool"] as const;
export type CallName = (typeof callNames)[number];

const depthMax = 40;
const comparisons = ["<", "<=", ">", ">=", "==", "!="] as const;

/**
 * Reads a Python expression of names, indexing, literals, comparison, `and or not in is`, arithmetic and the calls
 * `len str int float bool`. A name may stand in braces. `members` also allows `a.b`, which only ever looks up a key.
 * Throws `PythonSyntaxError` for everything else. Nothing is evaluated.
 */
export function parseExpression(text: string, options: { members: boolean }): Expression {
  const cursor = new PythonCursor(text, depthMax);
  const expression = readOr(cursor, options.members);
  cursor.expectEnd();
  return expression;
}

function readOr(cursor: PythonCursor, members: boolean): Expression {
  return cursor.deeper(() => {
    const parts = [readAnd(cursor, members)];
    while (cursor.takeName("or")) parts.push(readAnd(cursor, members));
    return parts.length === 1 ? first(parts) : { op: "or", parts };
  });
}

function readAnd(cursor: PythonCursor, members: boolean): Expression {
  const parts = [readNot(cursor, members)];
  while (cursor.takeName("and")) parts.push(readNot(cursor, members));
  return parts.length === 1 ? first(parts) : { op: "and", parts };
}

function readNot(cursor: PythonCursor, members: boolean): Expression {
  if (!cursor.takeName("not")) return readComparison(cursor, members);
  return { op: "not", of: cursor.deeper(() => readNot(cursor, members)) };
}

function readComparison(cursor: PythonCursor, members: boolean): Expression {
  const left = readSum(cursor, members);
  const rest: Extract<Expression, { op: "compare" }>["rest"] = [];
  for (let at = cursor.peek().at; ; at = cursor.peek().at) {
    const symbol = takeComparison(cursor);
    if (symbol === null) return rest.length === 0 ? left : { op: "compare", first: left, rest };
    rest.push({ symbol, right: readSum(cursor, members), at });
  }
}

function takeComparison(cursor: PythonCursor): Comparison | null {
  const symbol = comparisons.find((candidate) => cursor.takeOperator(candidate));
  if (symbol !== undefined) return symbol;
  if (cursor.takeName("in")) return "in";
  if (cursor.takeName("is")) return cursor.takeName("not") ? "is not" : "is";
  if (!cursor.takeName("not")) return null;
  if (!cursor.takeName("in")) throw new PythonSyntaxError('Expected "in"', cursor.peek().at);
  return "not in";
}

function readSum(cursor: PythonCursor, members: boolean): Expression {
  return readLevel(cursor, ["+", "-"], () => readProduct(cursor, members));
}

function readProduct(cursor: PythonCursor, members: boolean): Expression {
  return readLevel(cursor, ["*", "//", "/", "%"], () => readSigned(cursor, members));
}

function readLevel(cursor: PythonCursor, symbols: readonly Arithmetic[], read: () => Expression): Expression {
  let left = read();
  for (;;) {
    const at = cursor.peek().at;
    const symbol = symbols.find((candidate) => cursor.takeOperator(candidate));
    if (symbol === undefined) return left;
    left = { op: "arithmetic", symbol, left, right: read(), at };
  }
}

function readSigned(cursor: PythonCursor, members: boolean): Expression {
  const at = cursor.peek().at;
  const negative = cursor.takeOperator("-");
  if (negative || cursor.takeOperator("+")) {
    return { op: "sign", negative, of: cursor.deeper(() => readSigned(cursor, members)), at };
  }
  const base = readTrailers(cursor, members);
  const powerAt = cursor.peek().at;
  if (!cursor.takeOperator("**")) return base;
  const right = cursor.deeper(() => readSigned(cursor, members));
  return { op: "arithmetic", symbol: "**", left: base, right, at: powerAt };
}

function readTrailers(cursor: PythonCursor, members: boolean): Expression {
  let of = readAtom(cursor, members);
  for (;;) {
    const at = cursor.peek().at;
    if (cursor.takeOperator("[")) {
      of = { op: "index", of, index: readOr(cursor, members), at };
      cursor.expectOperator("]");
    } else if (members && cursor.takeOperator(".")) {
      const key = cursor.next();
      if (key.kind !== "name") throw new PythonSyntaxError("Expected a name after the dot", key.at);
      of = { op: "member", of, key: key.text, at };
    } else return of;
  }
}

function readAtom(cursor: PythonCursor, members: boolean): Expression {
  const token = cursor.peek();
  if (token.kind === "string") return { op: "text", value: cursor.takeStrings() };
  if (cursor.takeOperator("(")) return readEnclosed(cursor, ")", members);
  if (cursor.takeOperator("[")) return { op: "list", items: readItems(cursor, "]", members).items };
  if (cursor.takeOperator("{")) return readBraced(cursor, members);
  cursor.next();
  if (token.kind === "int" || token.kind === "float") return { op: "value", value: token.value };
  if (token.kind === "name") return readName(cursor, token.text, { at: token.at, members });
  throw new PythonSyntaxError("Expected a value", token.at);
}

/** `(a)` is a; `(a, b)` and `()` are tuples, which behave like lists here. */
function readEnclosed(cursor: PythonCursor, close: string, members: boolean): Expression {
  const { items, hasComma } = readItems(cursor, close, members);
  return items.length === 1 && !hasComma ? first(items) : { op: "list", items };
}

function readItems(cursor: PythonCursor, close: string, members: boolean): { items: Expression[]; hasComma: boolean } {
  const items: Expression[] = [];
  let hasComma = false;
  while (!cursor.takeOperator(close)) {
    items.push(readOr(cursor, members));
    const comma = cursor.takeOperator(",");
    hasComma ||= comma;
    if (!comma && !cursor.isOperator(close)) throw new PythonSyntaxError(`Expected "${close}"`, cursor.peek().at);
  }
  return { items, hasComma };
}

/** `{name}` and `{name[i]}` are the variable itself. */
function readBraced(cursor: PythonCursor, members: boolean): Expression {
  const at = cursor.peek().at;
  // Inside braces a dot is always the path into a stored API response.
  const of = readTrailers(cursor, true);
  if (of.op !== "name" && of.op !== "index" && of.op !== "member") {
    throw new PythonSyntaxError("Braces may only hold a variable", at);
  }
  cursor.expectOperator("}");
  return members ? of : { op: "braced", of };
}

function readName(cursor: PythonCursor, name: string, place: { at: number; members: boolean }): Expression {
  const constants: Record<string, PythonValue> = { True: true, False: false, None: null };
  if (Object.hasOwn(constants, name)) return { op: "value", value: constants[name] ?? null };
  if (["and", "or", "not", "in", "is", "if", "else", "lambda", "for"].includes(name)) {
    throw new PythonSyntaxError(`"${name}" cannot stand here`, place.at);
  }
  if (!cursor.takeOperator("(")) return { op: "name", name, at: place.at };
  const call = callNames.find((candidate) => candidate === name);
  if (call === undefined) throw new PythonSyntaxError(`"${name}" may not be called`, place.at);
  const { items } = readItems(cursor, ")", place.members);
  if (items.length !== 1) throw new PythonSyntaxError(`${name}() takes one argument`, place.at);
  return { op: "call", name: call, of: first(items), at: place.at };
}

function first(parts: Expression[]): Expression {
  const [part] = parts;
  if (part === undefined) throw new Error("An expression has no parts");
  return part;
}

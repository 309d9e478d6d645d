import { readPythonString } from "./python-string.ts";
import { PythonSyntaxError } from "./python-syntax-error.ts";

/** One token of a Python expression. `at` is the offset of its first character. */
export type Token =
  | { kind: "name"; text: string; at: number }
  | { kind: "int"; value: bigint; at: number }
  | { kind: "float"; value: number; at: number }
  | { kind: "string"; value: string; at: number }
  | { kind: "operator"; text: string; at: number }
  | { kind: "end"; at: number };

/** Enough for any real locator or condition; keeps hostile texts cheap. */
export const expressionCharsMax = 8_000;
const operators = ["**", "//", "==", "!=", "<=", ">=", ..."+-*/%<>()[]{},.=|:"];
const namePattern = /[\p{L}_][\p{L}\p{N}_]*/uy;
const numberPattern = /(?:\d[\d_]*(?:\.(?:\d[\d_]*)?)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?/y;

/** Splits a Python expression into tokens; the last one is `end`. Throws `PythonSyntaxError`. */
export function lexPython(text: string): Token[] {
  if (text.length > expressionCharsMax) {
    throw new PythonSyntaxError(`The expression is longer than ${expressionCharsMax} characters`, expressionCharsMax);
  }
  const tokens: Token[] = [];
  let at = skipBlanks(text, 0);
  while (at < text.length) {
    const { token, end } = readToken(text, at);
    tokens.push(token);
    at = skipBlanks(text, end);
  }
  tokens.push({ kind: "end", at: text.length });
  return tokens;
}

function readToken(text: string, at: number): { token: Token; end: number } {
  const string = readPythonString(text, at);
  if (string !== null) return { token: { kind: "string", value: string.value, at }, end: string.end };
  const name = matchAt(namePattern, text, at);
  if (name !== null) return { token: { kind: "name", text: name, at }, end: at + name.length };
  const number = matchAt(numberPattern, text, at);
  if (number !== null) return { token: numberToken(number, at), end: at + number.length };
  const operator = operators.find((candidate) => text.startsWith(candidate, at));
  if (operator === undefined) throw new PythonSyntaxError(`Unexpected ${JSON.stringify(text.charAt(at))}`, at);
  return { token: { kind: "operator", text: operator, at }, end: at + operator.length };
}

function numberToken(text: string, at: number): Token {
  const digits = text.replaceAll("_", "");
  if (/^\d+$/.test(digits)) return { kind: "int", value: BigInt(digits), at };
  return { kind: "float", value: Number(digits), at };
}

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text.charAt(at))) at += 1;
  return at;
}

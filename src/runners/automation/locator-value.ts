import type { LocatorValue } from "./locator-parse.ts";
import type { PythonCursor } from "./python-cursor.ts";
import { patternFlag, toRegExp } from "./python-pattern.ts";
import { PythonSyntaxError } from "./python-syntax-error.ts";

export type ReadValue = { value: LocatorValue; at: number };
/** How the parts of a value are read that only the reader of commands knows. */
export type ValueReader = { cursor: PythonCursor; interpolate(text: string): string; readChain(): LocatorValue };

/** Reads one argument: a string, number, constant, `re.compile(…)` or another locator. */
export function readLocatorValue(reader: ValueReader): ReadValue {
  const { cursor, interpolate } = reader;
  const token = cursor.peek();
  if (token.kind === "string") return { value: interpolate(cursor.takeStrings()), at: token.at };
  if (token.kind === "name") return { value: readNamed(reader, token.at), at: token.at };
  const negative = cursor.takeOperator("-");
  const number = cursor.next();
  if (number.kind !== "int" && number.kind !== "float") {
    throw new PythonSyntaxError("This is no value that a locator can take", token.at);
  }
  return { value: negative ? -Number(number.value) : Number(number.value), at: token.at };
}

function readNamed(reader: ValueReader, at: number): LocatorValue {
  const { cursor } = reader;
  if (cursor.takeName("True")) return true;
  if (cursor.takeName("False")) return false;
  if (cursor.takeName("None")) return null;
  return cursor.takeName("re") ? readPattern(reader, at) : reader.readChain();
}

function readPattern({ cursor, interpolate }: ValueReader, at: number): RegExp {
  cursor.expectOperator(".");
  if (!cursor.takeName("compile")) throw new PythonSyntaxError("Only re.compile(…) is allowed", cursor.peek().at);
  cursor.expectOperator("(");
  if (cursor.peek().kind !== "string") throw new PythonSyntaxError("re.compile needs a string", cursor.peek().at);
  const source = interpolate(cursor.takeStrings());
  const flags = cursor.takeOperator(",") && !cursor.isOperator(")") ? readFlags(cursor) : "";
  cursor.expectOperator(")");
  return toRegExp(source, flags, at);
}

function readFlags(cursor: PythonCursor): string {
  const keyword = cursor.peek();
  const name = cursor.takeKeyword();
  if (name !== null && name !== "flags")
    throw new PythonSyntaxError(`re.compile has no argument "${name}"`, keyword.at);
  let flags = "";
  do {
    const at = cursor.peek().at;
    const isFlag = cursor.takeName("re") && cursor.takeOperator(".");
    const flag = cursor.next();
    const letter = isFlag && flag.kind === "name" ? patternFlag(flag.text) : null;
    if (letter === null) throw new PythonSyntaxError("Only the flags re.I, re.M and re.S are supported", at);
    flags += letter;
  } while (cursor.takeOperator("|"));
  return flags;
}

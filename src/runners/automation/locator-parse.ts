import { type ArgumentType, type Footing, type LocatorMethod, locatorMethods } from "./locator-methods.ts";
import { type ReadValue, readLocatorValue, type ValueReader } from "./locator-value.ts";
import { PythonCursor } from "./python-cursor.ts";
import { PythonSyntaxError } from "./python-syntax-error.ts";

export type LocatorValue = string | number | boolean | null | RegExp | LocatorChain;
/** One method or property of a chain. `options` carry the names that playwright-core uses. */
export type LocatorStep = { name: string; values: LocatorValue[]; options: Record<string, LocatorValue> };
/** A whole command: what is done to the page, from left to right. */
export type LocatorChain = { steps: LocatorStep[] };

const stepsMax = 50;
const depthMax = 8;
const wanted: Record<ArgumentType, string> = {
  string: "a string",
  text: "a string or re.compile(…)",
  int: "a whole number",
  bool: "True or False",
  locator: "a locator",
};

/**
 * Reads a Playwright Python locator command (`get_by_role("button", name="Go").first`; a leading `page.` is allowed).
 * `interpolate` is applied to the text of every string literal, so that values never become syntax.
 * Throws `PythonSyntaxError` with the position for everything outside of the grammar. Nothing is evaluated.
 */
export function parseLocator(command: string, interpolate = (text: string) => text): LocatorChain {
  const cursor = new PythonCursor(command, depthMax);
  const reader: ValueReader = { cursor, interpolate, readChain: () => readChain(reader) };
  const chain = readChain(reader);
  cursor.expectEnd();
  return chain;
}

function readChain(reader: ValueReader): LocatorChain {
  const { cursor } = reader;
  return cursor.deeper(() => {
    const start = cursor.peek();
    if (start.kind === "name" && start.text === "page" && cursor.isOperator(".", 1)) {
      cursor.next();
      cursor.next();
    }
    const steps: LocatorStep[] = [];
    let footing: Footing = "page";
    do {
      const { step, gives } = readStep(reader, footing);
      steps.push(step);
      footing = gives;
      if (steps.length > stepsMax) throw new PythonSyntaxError(`More than ${stepsMax} parts`, cursor.peek().at);
    } while (cursor.takeOperator("."));
    if (footing === "frame") throw new PythonSyntaxError("A frame is no element: add what to find in it", start.at);
    return { steps };
  });
}

function readStep(reader: ValueReader, footing: Footing): { step: LocatorStep; gives: Footing } {
  const token = reader.cursor.next();
  if (token.kind !== "name") throw new PythonSyntaxError("Expected the name of a locator method", token.at);
  const method = Object.hasOwn(locatorMethods, token.text) ? locatorMethods[token.text] : undefined;
  if (method === undefined) throw new PythonSyntaxError(`"${token.text}" is not a locator method`, token.at);
  if (!method.on.includes(footing)) throw new PythonSyntaxError(`"${token.text}" cannot follow a ${footing}`, token.at);
  const step: LocatorStep = { name: token.text, values: [], options: {} };
  const isCall = reader.cursor.takeOperator("(");
  if (isCall !== method.called) {
    const fix = isCall ? "is a property: leave out the ()" : "is a method: add ( and its arguments";
    throw new PythonSyntaxError(`"${token.text}" ${fix}`, token.at);
  }
  if (isCall) readArguments(reader, step, method);
  const missing = method.parameters[step.values.length];
  if (missing !== undefined) throw new PythonSyntaxError(`"${token.text}" needs its ${missing.name}`, token.at);
  return { step, gives: method.gives };
}

function readArguments(reader: ValueReader, step: LocatorStep, method: LocatorMethod): void {
  const { cursor } = reader;
  let afterNamed = false;
  while (!cursor.takeOperator(")")) {
    const at = cursor.peek().at;
    const name = cursor.takeKeyword();
    if (name === null && afterNamed) throw new PythonSyntaxError("A positional argument follows a named one", at);
    afterNamed = name !== null;
    const read = readLocatorValue(reader);
    if (name === null) setPositional(step, method, read);
    else setNamed(step, method, { name, ...read });
    if (!cursor.takeOperator(",") && !cursor.isOperator(")")) {
      throw new PythonSyntaxError('Expected "," or ")"', cursor.peek().at);
    }
  }
}

function setPositional(step: LocatorStep, method: LocatorMethod, read: ReadValue): void {
  const parameter = method.parameters[step.values.length];
  if (parameter === undefined) throw new PythonSyntaxError(`"${step.name}" has too many arguments`, read.at);
  step.values.push(checked(read, parameter.type, parameter.name));
}

function setNamed(step: LocatorStep, method: LocatorMethod, read: ReadValue & { name: string }): void {
  const { name, at } = read;
  const parameter = method.parameters.find((candidate) => candidate.name === name);
  const option = Object.hasOwn(method.options, name) ? method.options[name] : undefined;
  const isTwice =
    parameter === undefined ? option?.js !== undefined && option.js in step.options : step.values.length > 0;
  if (isTwice) throw new PythonSyntaxError(`"${name}" is given twice`, at);
  if (parameter !== undefined) step.values.push(checked(read, parameter.type, name));
  else if (option === undefined) throw new PythonSyntaxError(`"${step.name}" has no argument "${name}"`, at);
  // None means "not given", as it does in Python.
  else if (read.value !== null) step.options[option.js] = checked(read, option.type, name);
}

function checked({ value, at }: ReadValue, type: ArgumentType, name: string): LocatorValue {
  const isPattern = value instanceof RegExp;
  const fits: Record<ArgumentType, boolean> = {
    string: typeof value === "string",
    text: typeof value === "string" || isPattern,
    int: Number.isSafeInteger(value),
    bool: typeof value === "boolean",
    locator: typeof value === "object" && value !== null && !isPattern,
  };
  if (!fits[type]) throw new PythonSyntaxError(`"${name}" must be ${wanted[type]}`, at);
  return value;
}

import type { Problem } from "../../errors.ts";
import type { ParamRules } from "../../functions.ts";
import { checkParams } from "../../runners/function/params.ts";

/** What is wrong with the input of a function, parameter by parameter. */
export function paramProblems(rules: ParamRules, input: Record<string, unknown>, pointer: string): Problem[] {
  if (checkParams(rules, input).ok) return [];
  const names = new Set([...Object.keys(rules), ...Object.keys(input)]);
  return [...names].flatMap((name) => {
    const checked = checkParams(only(rules, name), only(input, name));
    return checked.ok ? [] : [{ pointer: `${pointer}/${escaped(name)}`, detail: inOurWords(checked.message, name) }];
  });
}

function only<T>(all: { readonly [name: string]: T }, name: string): Record<string, T> {
  return Object.hasOwn(all, name) ? { [name]: all[name] as T } : {};
}

/** Its texts are another protocol's; the pointer says already which parameter is meant. */
function inOurWords(message: string, name: string): string {
  if (message.startsWith("Unexpected param")) return "is not a parameter of this function";
  if (message.startsWith("Missing required param")) return "is missing";
  return message
    .replace(`Invalid type for param: ${name}, expected`, "must be of type")
    .replace(`Invalid value for param: ${name}, expected`, "must be")
    .replace(`Invalid format for param: ${name}, does not match pattern`, "must match the pattern")
    .replace(`Value for param: ${name} must be`, "must be")
    .replace(`Length of param: ${name} must be`, "must have a length");
}

function escaped(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

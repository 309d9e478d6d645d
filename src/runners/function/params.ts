import type { ParamRule, ParamRules } from "../../functions.ts";
import { isBounded } from "./pattern.ts";

export type CheckedParams = { ok: true; params: Record<string, unknown> } | { ok: false; message: string };

/**
 * Checks an input against a function's rules and fills in defaults; the messages are the Andera worker's. Takes a bounded
 * time: a pattern that could backtrack for long on this value is left to the function's process, which checks everything.
 * `null` and no input at all count as an empty object.
 */
export function checkParams(rules: ParamRules, input: unknown): CheckedParams {
  return check(rules, input, (pattern, value) => !isBounded(pattern.source, value.length) || pattern.test(value));
}

/** The same, with every pattern tested however long that takes: for the function's process, where a timeout ends it. */
export function checkParamsFully(rules: ParamRules, input: unknown): CheckedParams {
  return check(rules, input, (pattern, value) => pattern.test(value));
}

type Matches = (pattern: RegExp, value: string) => boolean;

function check(rules: ParamRules, input: unknown, matches: Matches): CheckedParams {
  const given = input ?? {};
  if (typeof given !== "object") return { ok: false, message: "Invalid input: must be an object" };
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(rules, name)) return { ok: false, message: `Unexpected param: ${name}` };
  }
  const params: Record<string, unknown> = {};
  for (const [name, rule] of Object.entries(rules)) {
    const value = Object.hasOwn(given, name) ? (given as Record<string, unknown>)[name] : undefined;
    if (value === undefined) {
      if (rule.default !== undefined) params[name] = structuredClone(rule.default);
      else if (rule.required) return { ok: false, message: `Missing required param: ${name}` };
      continue;
    }
    const message = refusal(name, rule, value, matches);
    if (message !== null) return { ok: false, message };
    params[name] = value;
  }
  return { ok: true, params };
}

function refusal(name: string, rule: ParamRule, value: unknown, matches: Matches): string | null {
  if (!hasType(rule, value)) return `Invalid type for param: ${name}, expected ${rule.type}`;
  if (rule.enum !== undefined && !rule.enum.some((choice) => isSame(choice, value))) {
    return `Invalid value for param: ${name}, expected one of ${JSON.stringify(rule.enum)}`;
  }
  if (rule.pattern !== undefined && typeof value === "string" && !matches(compiled(rule, rule.pattern), value)) {
    return `Invalid format for param: ${name}, does not match pattern ${sourceOf(rule.pattern)}`;
  }
  const size = sizeOf(value);
  if (size === null) return null;
  const what = typeof value === "number" ? "Value for param" : "Length of param";
  if (rule.min !== undefined && size < rule.min) return `${what}: ${name} must be >= ${rule.min}`;
  if (rule.max !== undefined && size > rule.max) return `${what}: ${name} must be <= ${rule.max}`;
  return null;
}

function hasType(rule: ParamRule, value: unknown): boolean {
  if (rule.type === "array") return Array.isArray(value);
  if (rule.type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === rule.type;
}

function isSame(choice: unknown, value: unknown): boolean {
  if (choice === value) return true;
  return typeof choice === "object" && typeof value === "object" && JSON.stringify(choice) === JSON.stringify(value);
}

function sizeOf(value: unknown): number | null {
  if (typeof value === "number") return value;
  return typeof value === "string" || Array.isArray(value) ? value.length : null;
}

const compiledPatterns = new WeakMap<ParamRule, RegExp>();

function compiled(rule: ParamRule, pattern: string | RegExp): RegExp {
  const known = compiledPatterns.get(rule);
  if (known !== undefined) return known;
  const made = new RegExp(sourceOf(pattern));
  compiledPatterns.set(rule, made);
  return made;
}

function sourceOf(pattern: string | RegExp): string {
  return typeof pattern === "string" ? pattern : pattern.source;
}

import { type FunctionConfig, type ParamRule, type ParamRules, paramTypes } from "../../functions.ts";

export type FunctionEntry = {
  name: string;
  /** Absolute path of the file. */
  file: string;
  /** As the file declares them, in its order; patterns as text. */
  params: ParamRules;
  config: FunctionConfig;
  description: string | null;
};

/** A file of functions that is not served, and why. `line` is counted from 1, null when it is not known. */
export type FunctionProblem = { file: string; line: number | null; message: string };

type Declared = Pick<FunctionEntry, "params" | "config" | "description">;

/** Checks what a function process says of a file. Throws `Error` with what is wrong, in the words of the file's author. */
export function readDescription(described: unknown): Declared {
  if (!isObject(described)) throw new Error("its description is not an object");
  const { params, config, description } = described;
  if (!isObject(params)) throw new Error("params must be an object of rules");
  for (const [name, rule] of Object.entries(params)) checkRule(name, rule);
  checkConfig(config);
  if (description !== null && typeof description !== "string") throw new Error("description must be a string");
  return { params: params as ParamRules, config: config as FunctionConfig, description };
}

const timeoutMsMax = 86_400_000;
const retriesMax = 1_000;

function checkRule(name: string, rule: unknown): void {
  const where = `params.${name}`;
  if (name === "__proto__") throw new Error(`${where} cannot be the name of a parameter`);
  if (!isObject(rule)) throw new Error(`${where} must be an object like { type: "string" }`);
  const { type, required, enum: choices, pattern, min, max } = rule as Partial<ParamRule>;
  if (!paramTypes.some((known) => known === type)) {
    throw new Error(`${where}.type must be one of ${paramTypes.join(", ")}`);
  }
  if (required !== undefined && typeof required !== "boolean") throw new Error(`${where}.required must be a boolean`);
  if (choices !== undefined && !Array.isArray(choices)) throw new Error(`${where}.enum must be an array`);
  for (const [key, bound] of Object.entries({ min, max })) {
    if (bound !== undefined && typeof bound !== "number") throw new Error(`${where}.${key} must be a number`);
  }
  if (pattern !== undefined) checkPattern(`${where}.pattern`, pattern);
}

function checkPattern(where: string, pattern: unknown): void {
  if (typeof pattern !== "string") throw new Error(`${where} must be a string or a regular expression`);
  try {
    new RegExp(pattern);
  } catch (fault) {
    throw new Error(`${where} is not a regular expression: ${String(fault)}`, { cause: fault });
  }
}

function checkConfig(config: unknown): void {
  if (!isObject(config)) throw new Error("config must be an object");
  const { timeout, maxRetries, supportsStreaming, logResult } = config;
  if (timeout !== undefined && !isWithin(timeout, 1, timeoutMsMax)) {
    throw new Error(`config.timeout must be milliseconds from 1 to ${timeoutMsMax}`);
  }
  if (maxRetries !== undefined && !(isWithin(maxRetries, 0, retriesMax) && Number.isInteger(maxRetries))) {
    throw new Error(`config.maxRetries must be a whole number from 0 to ${retriesMax}`);
  }
  for (const [key, flag] of Object.entries({ supportsStreaming, logResult })) {
    if (flag !== undefined && typeof flag !== "boolean") throw new Error(`config.${key} must be a boolean`);
  }
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === "number" && value >= min && value <= max;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

import { readFileSync } from "node:fs";
import type { LoadedFunction } from "./child-load.ts";
import { thrownText } from "./child-result.ts";

/** What a file declares, without its handler; patterns become their source. */
export function described({ params, config, description }: LoadedFunction): unknown {
  return { params: params === undefined ? {} : plain(params), config: config ?? {}, description: description ?? null };
}

/** Why a file cannot be loaded: the line where that is known (counted from 1), and a message without its path. */
export function loadProblem(thrown: unknown, file: string): { line: number | null; message: string } {
  const first: unknown = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  const message = thrownText(first).replaceAll(` imported from ${file}`, "").replaceAll(file, "this file");
  return { line: positionOf(first) ?? stackLine(first, file) ?? lineNaming(message, file), message };
}

function plain(params: unknown): unknown {
  if (typeof params !== "object" || params === null || Array.isArray(params)) return params;
  return Object.fromEntries(Object.entries(params).map(([name, rule]) => [name, plainRule(rule)]));
}

function plainRule(rule: unknown): unknown {
  if (typeof rule !== "object" || rule === null) return rule;
  const pattern: unknown = Reflect.get(rule, "pattern");
  if (!(pattern instanceof RegExp)) return rule;
  if (pattern.flags !== "") throw new Error(`pattern ${pattern} has flags; write it without them`);
  return { ...rule, pattern: pattern.source };
}

function positionOf(thrown: unknown): number | null {
  if (typeof thrown !== "object" || thrown === null) return null;
  const position: unknown = Reflect.get(thrown, "position");
  if (typeof position !== "object" || position === null) return null;
  const line: unknown = Reflect.get(position, "line");
  return typeof line === "number" && line > 0 ? line : null;
}

function stackLine(thrown: unknown, file: string): number | null {
  if (!(thrown instanceof Error) || typeof thrown.stack !== "string") return null;
  const at = thrown.stack.indexOf(`${file}:`);
  const line = at < 0 ? Number.NaN : Number.parseInt(thrown.stack.slice(at + file.length + 1), 10);
  return line > 0 ? line : null;
}

/** A missing import has no position; the first line with its quoted name has to do. */
function lineNaming(message: string, file: string): number | null {
  const name = /'([^']+)'/.exec(message)?.[1];
  if (name === undefined) return null;
  const lines = readFileSync(file, "utf8").split("\n");
  const index = lines.findIndex((line) => line.includes(name));
  return index < 0 ? null : index + 1;
}

import type { Problem } from "../../errors.ts";

const textCharsMax = 20_000;
const itemsMax = 1_000;

/**
 * One JSON object that is read field by field with the functions below. A wrong field is reported and read as its fallback,
 * so that one pass finds every problem; null counts as not set, as the files of the original write it.
 */
export type Entry = {
  fields: Record<string, unknown>;
  pointer: string;
  problems: Problem[];
  read: Set<string>;
};

export function openEntry(fields: Record<string, unknown>, pointer: string, problems: Problem[]): Entry {
  return { fields, pointer, problems, read: new Set() };
}

/** The field as it is; undefined when it is not set. */
export function readRaw(entry: Entry, name: string): unknown {
  entry.read.add(name);
  return entry.fields[name] ?? undefined;
}

export function readText(entry: Entry, name: string, fallback: string): string {
  const value = readRaw(entry, name);
  if (value === undefined || isText(value)) return value ?? fallback;
  wrong(entry, name, `a text without NUL of at most ${textCharsMax} characters`);
  return fallback;
}

export function readNumber(entry: Entry, name: string, range: { min: number; max: number }): number | null {
  const value = readRaw(entry, name);
  if (value === undefined) return null;
  if (typeof value === "number" && value >= range.min && value <= range.max) return value;
  wrong(entry, name, `a number from ${range.min} to ${range.max}`);
  return null;
}

export function readInteger(entry: Entry, name: string, range: { min: number; max: number }): number | null {
  const value = readNumber(entry, name, range);
  if (value === null || Number.isInteger(value)) return value;
  wrong(entry, name, "a whole number");
  return null;
}

export function readFlag(entry: Entry, name: string, fallback: boolean): boolean {
  const value = readRaw(entry, name);
  if (value === undefined || typeof value === "boolean") return value ?? fallback;
  wrong(entry, name, "true or false");
  return fallback;
}

/** One of the words; the first when it is not set. */
export function readWord<const T extends string>(entry: Entry, name: string, words: readonly [T, ...T[]]): T {
  const value = readRaw(entry, name);
  const found = words.find((word) => word === value);
  if (found === undefined && value !== undefined) wrong(entry, name, `one of ${words.join(", ")}`);
  return found ?? words[0];
}

export function readTexts(entry: Entry, name: string): string[] {
  const value = readRaw(entry, name);
  if (value === undefined) return [];
  if (Array.isArray(value) && value.length <= itemsMax && value.every(isText)) return value;
  wrong(entry, name, `a list of at most ${itemsMax} texts`);
  return [];
}

/** Names with texts; numbers and true/false become texts. */
export function readMap(entry: Entry, name: string): Record<string, string> {
  const value = readRaw(entry, name) ?? {};
  if (isRecord(value) && Object.keys(value).length <= itemsMax && Object.values(value).every(isScalar)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, String(item)]));
  }
  // Said without the value, which may hold secrets.
  report(entry, name, `must be an object of at most ${itemsMax} names with texts, numbers or true/false`);
  return {};
}

/** The object in the field; an empty one when it is not set. */
export function readObject(entry: Entry, name: string): Entry {
  const value = readRaw(entry, name) ?? {};
  if (!isRecord(value)) wrong(entry, name, "an object");
  return openEntry(isRecord(value) ? value : {}, `${entry.pointer}/${escapePointer(name)}`, entry.problems);
}

export function report(entry: Entry, name: string, detail: string): void {
  entry.problems.push({ pointer: `${entry.pointer}/${escapePointer(name)}`, detail });
}

/** Reports every field that was neither read nor is named in `ignored`: a misspelt `allowed_ips` must not open a container. */
export function refuseOthers(entry: Entry, ignored: readonly string[]): void {
  for (const name of Object.keys(entry.fields)) {
    if (entry.read.has(name) || ignored.includes(name)) continue;
    report(entry, name, `is not a field of this kind: remove it, or use one of ${[...entry.read].sort().join(", ")}`);
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(entry: Entry, name: string, wanted: string): void {
  report(entry, name, `must be ${wanted}, not ${shown(entry.fields[name])}`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= textCharsMax && !value.includes("\0");
}

function isScalar(value: unknown): boolean {
  return isText(value) || typeof value === "number" || typeof value === "boolean";
}

function escapePointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

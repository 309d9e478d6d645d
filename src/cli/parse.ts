import type { Flag, Flags } from "./command.ts";
import { nearest } from "./nearest.ts";
import { UsageError } from "./usage-error.ts";

export type Parsed = { words: string[]; flags: Record<string, string | boolean | string[]> };

/**
 * Splits what was typed into words and flags: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-ab`; all that follows `--` are
 * words, and so is `-`. Throws `UsageError`, with the name that was probably meant.
 */
export function parseWords(typed: readonly string[], flags: Flags): Parsed {
  const parsed: Parsed = { words: [], flags: {} };
  const rest = [...typed];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") parsed.words.push(...rest.splice(0));
    else if (word.startsWith("--")) takeLong(word, rest, flags, parsed);
    else if (word.startsWith("-") && word !== "-") takeShort(word, rest, flags, parsed);
    else parsed.words.push(word);
  }
  return parsed;
}

function takeLong(word: string, rest: string[], flags: Flags, parsed: Parsed): void {
  const equals = word.indexOf("=");
  const name = word.slice(2, equals === -1 ? undefined : equals);
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
  if (flag === undefined) throw unknown(`--${name}`, flags);
  const attached = equals === -1 ? null : word.slice(equals + 1);
  if (flag.value === undefined) {
    if (attached !== null) throw new UsageError(`--${name} takes no value`);
    parsed.flags[name] = true;
  } else keep(parsed, name, flag, attached ?? next(rest, `--${name}`, flag));
}

function takeShort(word: string, rest: string[], flags: Flags, parsed: Parsed): void {
  for (let at = 1; at < word.length; at++) {
    const letter = word[at] ?? "";
    const [name, flag] = Object.entries(flags).find(([, { short }]) => short === letter) ?? [];
    if (name === undefined || flag === undefined) throw unknown(`-${letter}`, flags);
    if (flag.value === undefined) {
      parsed.flags[name] = true;
      continue;
    }
    const attached = word.slice(at + 1).replace(/^=/, "");
    keep(parsed, name, flag, attached || next(rest, `-${letter}`, flag));
    return;
  }
}

function next(rest: string[], name: string, flag: Flag): string {
  const value = rest.shift();
  if (value === undefined) throw new UsageError(`${name} needs a value: ${name} ${flag.value}`);
  return value;
}

function keep(parsed: Parsed, name: string, flag: Flag, value: string): void {
  const before = parsed.flags[name];
  parsed.flags[name] = flag.many === true ? [...(Array.isArray(before) ? before : []), value] : value;
}

function unknown(name: string, flags: Flags): UsageError {
  const meant = nearest(
    name,
    Object.keys(flags).map((known) => `--${known}`),
  );
  return new UsageError(`there is no flag ${name}${meant === null ? "" : `; did you mean ${meant}?`}`);
}

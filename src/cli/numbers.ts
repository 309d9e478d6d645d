import { UsageError } from "./usage-error.ts";

const unitSeconds: Record<string, number> = { "": 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** The whole number a flag was given; undefined when it was not. Throws `UsageError`. */
export function wholeNumber(name: string, text: string | undefined, { min, max }: { min: number; max: number }) {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (/^-?\d{1,15}$/.test(text) && number >= min && number <= max) return number;
  throw new UsageError(`${name} must be a whole number from ${min} to ${max}, and is "${text}"`);
}

/** Seconds: `90`, `90s`, `1.5m`, `2h`, `1d`; undefined when the flag was not given. Throws `UsageError`. */
export function seconds(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, number, unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?)([smhd]?)$/.exec(text) ?? [];
  if (number !== undefined) return Number(number) * (unitSeconds[unit] ?? 1);
  throw new UsageError(`${name} must be a time such as 90, 90s, 5m or 2h, and is "${text}"`);
}

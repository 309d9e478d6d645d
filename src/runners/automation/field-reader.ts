type Raw = Record<string, unknown>;
type Range = { min: number; max: number; fallback?: number };

const shownCharsMax = 60;

/**
 * Reads the fields of one JSON object and collects what is wrong with them instead of stopping at the first.
 * `where` says in every problem which part of the document it is about. Null counts as not given, as the control plane
 * writes every unused field as null.
 */
export class FieldReader {
  constructor(
    readonly problems: string[],
    readonly where: string,
    readonly raw: Raw,
  ) {}

  /** The object under `name`, or an empty one. */
  object(name: string): FieldReader {
    const value = this.raw[name] ?? {};
    if (!isObject(value)) this.problem(name, "must be an object");
    return new FieldReader(this.problems, `${this.where}, ${name}`, isObject(value) ? value : {});
  }

  has(name: string): boolean {
    return this.raw[name] !== undefined && this.raw[name] !== null;
  }

  text(name: string, fallback?: string): string {
    const value = this.raw[name] ?? fallback;
    if (typeof value === "string") return value;
    this.problem(name, value === undefined ? "is missing" : `must be a text, not ${shown(value)}`);
    return "";
  }

  optionalText(name: string): string | null {
    return this.has(name) ? this.text(name) : null;
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.raw[name] ?? fallback;
    if (typeof value === "boolean") return value;
    this.problem(name, `must be true or false, not ${shown(value)}`);
    return fallback;
  }

  number(name: string, range: Range): number {
    const given = this.raw[name] ?? range.fallback;
    const value = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
    if (typeof value === "number" && value >= range.min && value <= range.max) return value;
    const wanted = `must be a number from ${range.min} to ${range.max}`;
    this.problem(name, given === undefined ? `is missing: it ${wanted}` : `${wanted}, not ${shown(given)}`);
    return range.fallback ?? range.min;
  }

  whole(name: string, range: Range): number {
    const value = this.number(name, range);
    if (!Number.isInteger(value)) this.problem(name, `must be a whole number, not ${value}`);
    return value;
  }

  oneOf<const T extends string>(name: string, words: readonly T[], fallback?: T): T {
    const value = this.raw[name] ?? fallback;
    const found = words.find((word) => word === value);
    if (found === undefined) this.problem(name, `must be one of ${words.join(", ")}, not ${shown(value)}`);
    return found ?? (words[0] as T);
  }

  texts(name: string, fallback?: string[]): string[] {
    const value = this.raw[name] ?? fallback;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    this.problem(name, value === undefined ? "is missing" : `must be a list of texts, not ${shown(value)}`);
    return [];
  }

  textMap(name: string): Record<string, string> {
    const value = this.raw[name] ?? {};
    if (isObject(value) && Object.values(value).every((item) => typeof item === "string")) {
      return value as Record<string, string>;
    }
    this.problem(name, "must be an object whose values are texts");
    return {};
  }

  list(name: string, required: boolean): unknown[] {
    const value = this.raw[name] ?? (required ? undefined : []);
    if (Array.isArray(value)) return value;
    this.problem(name, value === undefined ? "is missing" : `must be a list, not ${shown(value)}`);
    return [];
  }

  /** The one of `names` that is given; null, with a problem, when none or several are. */
  only<const T extends string>(names: readonly T[]): T | null {
    const given = names.filter((name) => this.has(name));
    if (given.length === 1) return given[0] ?? null;
    const found = given.length === 0 ? "none is" : `${given.join(" and ")} are`;
    this.problems.push(`${this.where}: exactly one of ${names.join(", ")} must be given, ${found}`);
    return null;
  }

  problem(name: string, what: string): void {
    this.problems.push(`${this.where}: "${name}" ${what}`);
  }
}

export function isObject(value: unknown): value is Raw {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, shownCharsMax);
}

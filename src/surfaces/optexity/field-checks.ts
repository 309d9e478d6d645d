import { type BodyProblem, missing, tooLong, wrongType, wrongValue } from "./invalid-body.ts";
import { type InputLists, type InputValue, listMax } from "./wire.ts";

export type Fields = Record<string, unknown>;

/** Reads the fields of one object and collects what is wrong with them; a value that is wrong is read as its fallback. */
export class FieldChecks {
  constructor(
    readonly fields: Fields,
    readonly problems: BodyProblem[],
    readonly at: (string | number)[],
  ) {}

  text(name: string, fallback?: string): string {
    const value = this.fields[name];
    if (value === undefined && fallback !== undefined) return fallback;
    if (value === undefined) this.problems.push(missing([...this.at, name], this.fields));
    else if (typeof value !== "string") this.problems.push(wrongType([...this.at, name], "string", value));
    else return value;
    return fallback ?? "";
  }

  /** Null when it is absent or null. */
  integer(name: string, min: number, max: number): number | null {
    const value = this.fields[name] ?? null;
    if (value === null) return null;
    const isWhole = typeof value === "number" && Number.isInteger(value);
    if (isWhole && value >= min && value <= max) return value;
    this.problems.push(
      isWhole
        ? wrongValue([...this.at, name], `must be ${min} to ${max}`, value)
        : wrongType([...this.at, name], "int", value),
    );
    return null;
  }

  /** Lists of texts, numbers and booleans by name. */
  inputLists(name: string): InputLists {
    return this.#lists(name, (value): value is InputValue => ["string", "number", "boolean"].includes(typeof value));
  }

  /** Lists of objects by name, or null when it is absent or null. */
  secureLists(name: string): Record<string, unknown[]> | null {
    if ((this.fields[name] ?? null) === null) return null;
    return this.#lists(name, (value): value is object => isFields(value));
  }

  texts(name: string): string[] {
    const value = this.fields[name] ?? [];
    const loc = [...this.at, name];
    if (!Array.isArray(value)) {
      this.problems.push(wrongType(loc, "list", value));
      return [];
    }
    if (value.length > listMax) this.problems.push(tooLong(loc, listMax, value));
    for (const [index, item] of value.entries())
      if (typeof item !== "string") this.problems.push(wrongType([...loc, index], "string", item));
    return value.filter((item) => typeof item === "string");
  }

  #lists<T>(name: string, isFit: (value: unknown) => value is T): Record<string, T[]> {
    const value = this.fields[name];
    const loc = [...this.at, name];
    if (value === undefined) this.problems.push(missing(loc, this.fields));
    else if (!isFields(value)) this.problems.push(wrongType(loc, "dict", value));
    if (!isFields(value)) return {};
    const entries = Object.entries(value);
    if (entries.length > listMax) this.problems.push(tooLong(loc, listMax, entries));
    const lists: Record<string, T[]> = {};
    for (const [key, list] of entries.slice(0, listMax)) lists[key] = this.#list([...loc, key], list, isFit);
    return lists;
  }

  #list<T>(loc: (string | number)[], list: unknown, isFit: (value: unknown) => value is T): T[] {
    if (!Array.isArray(list)) {
      this.problems.push(wrongType(loc, "list", list));
      return [];
    }
    if (list.length > listMax) this.problems.push(tooLong(loc, listMax, list));
    const odd = list.findIndex((value) => !isFit(value));
    if (odd !== -1)
      this.problems.push(wrongType([...loc, odd], loc.includes("secure_parameters") ? "dict" : "string", list[odd]));
    return list.filter(isFit);
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

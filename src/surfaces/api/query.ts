import type { Problem } from "../../errors.ts";
import { invalid } from "./check-body.ts";

/** The parameters of a request's query, each of which must be given at most once. Throws `EngineError("invalid")` with `/query/…` pointers. */
export type Query = {
  text(name: string, charsMax: number): string | undefined;
  integer(name: string, range: { min: number; max: number }): number | undefined;
  word<W extends string>(name: string, words: readonly W[]): W | undefined;
  /** Several, separated by commas. */
  words<W extends string>(name: string, words: readonly W[]): W[] | undefined;
  flag(name: string): boolean;
  /** Call it when everything was read: throws for whatever was wrong. */
  done(): void;
};

/** `known` are the parameters of the operation; others are refused, since a misspelt filter would find everything. */
export function readQuery(request: Request, known: readonly string[]): Query {
  const at = request.url.indexOf("?");
  const params = new URLSearchParams(at === -1 ? "" : request.url.slice(at));
  const problems: Problem[] = [];
  const refuse = (name: string, detail: string) => {
    problems.push({ pointer: `/query/${name.slice(0, 100).replaceAll("~", "~0").replaceAll("/", "~1")}`, detail });
    return undefined;
  };
  for (const name of new Set(params.keys())) {
    if (!known.includes(name)) refuse(name, `is not known; there are ${known.join(", ")}`);
  }
  const one = (name: string) => {
    const values = params.getAll(name);
    return values.length > 1 ? refuse(name, "is given more than once") : values[0];
  };
  return {
    text: (name, charsMax) => {
      const value = one(name);
      if (value === undefined || value === "") return undefined;
      if (value.length > charsMax) return refuse(name, `must have at most ${charsMax} characters`);
      return value.includes("\0") ? refuse(name, "must not hold NUL") : value;
    },
    integer: (name, { min, max }) => {
      const value = one(name);
      if (value === undefined) return undefined;
      const isIn = /^\d{1,10}$/.test(value) && Number(value) >= min && Number(value) <= max;
      return isIn ? Number(value) : refuse(name, `must be a whole number from ${min} to ${max}`);
    },
    word: (name, words) => {
      const value = one(name);
      const found = words.find((word) => word === value);
      return value === undefined || found !== undefined ? found : refuse(name, `must be one of ${words.join(", ")}`);
    },
    words: (name, words) => {
      const value = one(name);
      if (value === undefined) return undefined;
      const found = words.filter((word) => value.split(",").includes(word));
      const isKnown = value.split(",").every((part) => words.some((word) => word === part));
      return isKnown ? found : refuse(name, `must be some of ${words.join(", ")}, separated by commas`);
    },
    flag: (name) => {
      const value = one(name);
      if (value !== undefined && value !== "true" && value !== "false") refuse(name, "must be true or false");
      return value === "true";
    },
    done: () => {
      if (problems.length > 0) throw invalid("The query", problems);
    },
  };
}

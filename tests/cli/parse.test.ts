import { expect, test } from "bun:test";
import { nearest } from "../../src/cli/nearest.ts";
import { parseWords } from "../../src/cli/parse.ts";

const flags = {
  output: { value: "DIR", short: "o", help: "" },
  detach: { short: "d", help: "" },
  json: { short: "j", help: "" },
  tag: { value: "TAG", short: "t", many: true, help: "" },
} as const;

test.each([
  [["a", "--output", "x", "b"], ["a", "b"], { output: "x" }],
  [["--output=x=y"], [], { output: "x=y" }],
  [["--output="], [], { output: "" }],
  [["-o", "x"], [], { output: "x" }],
  [["-ox"], [], { output: "x" }],
  [["-o=x"], [], { output: "x" }],
  [["-djo", "x"], [], { detach: true, json: true, output: "x" }],
  [["-o", "-"], [], { output: "-" }],
  [["-o", "--json"], [], { output: "--json" }],
  [["-", "a"], ["-", "a"], {}],
  [["--json", "--", "--detach", "-x"], ["--detach", "-x"], { json: true }],
  [["-t", "a", "--tag", "b", "-tc"], [], { tag: ["a", "b", "c"] }],
  [["--output", "x", "--output", "y"], [], { output: "y" }],
] as [string[], string[], Record<string, unknown>][])("%j is read as words and flags", (typed, words, given) => {
  expect(parseWords(typed, flags)).toEqual({ words, flags: given } as ReturnType<typeof parseWords>);
});

test.each([
  [["--outptu", "x"], "there is no flag --outptu; did you mean --output?"],
  [["--constructor"], "there is no flag --constructor"],
  [["-x"], "there is no flag -x"],
  [["-dx"], "there is no flag -x"],
  [["--output"], "--output needs a value: --output DIR"],
  [["-o"], "-o needs a value: -o DIR"],
  [["--detach=no"], "--detach takes no value"],
])("%j is refused", (typed, said) => {
  expect(() => parseWords(typed, flags)).toThrow(said);
});

test.each([
  ["jbos", "jobs"],
  ["lgos", "logs"],
  ["cancl", "cancel"],
  ["doc", "doctor"],
  ["x", null],
  ["serverless-platform", null],
])("%s was probably meant as %p", (typed, meant) => {
  expect(nearest(typed, ["jobs", "logs", "cancel", "doctor", "serve"])).toBe(meant);
});

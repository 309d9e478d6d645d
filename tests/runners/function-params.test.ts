import { describe, expect, test } from "bun:test";
import type { ParamRules } from "../../src/functions.ts";
import { checkParams, checkParamsFully } from "../../src/runners/function/params.ts";
import { isBounded } from "../../src/runners/function/pattern.ts";

const rules: ParamRules = {
  color: { type: "string", required: true, enum: ["red", "blue"] },
  code: { type: "string", pattern: "^[A-Z]+$" },
  n: { type: "number", min: 1, max: 10 },
  name: { type: "string", min: 2, max: 4 },
  list: { type: "array", min: 1, max: 2 },
  deep: { type: "object", default: { a: [1] } },
  on: { type: "boolean", default: false },
};

describe("parameters", () => {
  const cases: [string, unknown, string][] = [
    ["an unknown one", { color: "red", zzz: 1 }, "Unexpected param: zzz"],
    ["a missing one", {}, "Missing required param: color"],
    ["a wrong type", { color: 7 }, "Invalid type for param: color, expected string"],
    ["null for a string", { color: null }, "Invalid type for param: color, expected string"],
    ["a value off the list", { color: "green" }, 'Invalid value for param: color, expected one of ["red","blue"]'],
    ["a wrong format", { color: "red", code: "a" }, "Invalid format for param: code, does not match pattern ^[A-Z]+$"],
    ["a small number", { color: "red", n: 0 }, "Value for param: n must be >= 1"],
    ["a large number", { color: "red", n: 11 }, "Value for param: n must be <= 10"],
    ["a short text", { color: "red", name: "a" }, "Length of param: name must be >= 2"],
    ["a long text", { color: "red", name: "abcde" }, "Length of param: name must be <= 4"],
    ["a short array", { color: "red", list: [] }, "Length of param: list must be >= 1"],
    ["an array for an object", { color: "red", deep: [] }, "Invalid type for param: deep, expected object"],
    ["an object for an array", { color: "red", list: {} }, "Invalid type for param: list, expected array"],
    ["a text for a boolean", { color: "red", on: "true" }, "Invalid type for param: on, expected boolean"],
    ["an array as input", ["x"], "Unexpected param: 0"],
    ["a text as input", "x", "Invalid input: must be an object"],
    ["what every object inherits", { color: "red", constructor: 1 }, "Unexpected param: constructor"],
    ["a prototype", JSON.parse('{"color":"red","__proto__":{"n":5}}'), "Unexpected param: __proto__"],
  ];
  for (const [what, input, message] of cases) {
    test(`refuse ${what}`, () => {
      expect(checkParams(rules, input)).toEqual({ ok: false, message });
      expect(checkParamsFully(rules, input)).toEqual({ ok: false, message });
    });
  }

  test("are filled in with defaults that nobody shares", () => {
    const first = checkParams(rules, { color: "red" });
    expect(first).toEqual({ ok: true, params: { color: "red", deep: { a: [1] }, on: false } });
    if (first.ok) (first.params.deep as { a: number[] }).a.push(2);
    expect(checkParams(rules, { color: "red" })).toEqual({
      ok: true,
      params: { color: "red", deep: { a: [1] }, on: false },
    });
  });

  test("keep what was given", () => {
    const input = { color: "blue", code: "AB", n: 1.5, name: "Ada", list: [1, 2], deep: { b: 1 }, on: true };
    expect(checkParams(rules, input)).toEqual({ ok: true, params: input });
  });

  test("may be no input at all where none is required", () => {
    expect(checkParams({}, null)).toEqual({ ok: true, params: {} });
    expect(checkParams({}, undefined)).toEqual({ ok: true, params: {} });
    expect(checkParams({}, [])).toEqual({ ok: true, params: {} });
  });

  test("do not take an inherited name for a given one", () => {
    const inherited: ParamRules = Object.fromEntries([["toString", { type: "string", required: true }]]);
    expect(checkParams(inherited, {})).toEqual({ ok: false, message: "Missing required param: toString" });
  });

  test("may be one of several objects", () => {
    const oneOf: ParamRules = { size: { type: "object", enum: [{ w: 1 }, { w: 2 }] } };
    expect(checkParams(oneOf, { size: { w: 2 } }).ok).toBe(true);
    expect(checkParams(oneOf, { size: { w: 3 } }).ok).toBe(false);
  });

  test("accept a pattern written as a regular expression", () => {
    const literal: ParamRules = { code: { type: "string", pattern: /^[A-Z]+$/ } };
    expect(checkParams(literal, { code: "a" })).toEqual({
      ok: false,
      message: "Invalid format for param: code, does not match pattern ^[A-Z]+$",
    });
  });
});

describe("a pattern", () => {
  const bounded: [string, number][] = [
    ["^[A-Z]+$", 1_000_000],
    ["^(?:ab)+$", 10_000],
    ["^\\S+@\\S+\\.\\S+$", 120],
    ["[a-z]+x", 1_000],
    ["^\\d{4}-\\d{2}$", 1_000_000],
    ["^[\\]a)(]+$", 1_000],
    ["\\((a)+", 1_000],
  ];
  for (const [source, length] of bounded) {
    test(`${source} is tested at once on ${length} characters`, () => expect(isBounded(source, length)).toBe(true));
  }

  const unbounded: [string, number][] = [
    ["(a+)+$", 30],
    ["((a+)b)+$", 30],
    ["(a|a)*$", 30],
    ["(.*a){12}$", 30],
    ["(a?){30}a{30}", 30],
    [`^${"a?".repeat(40)}$`, 30],
    ["^(?=a+b)", 30],
    ["(a)\\1+", 30],
    ["[a-z]+x", 10_000],
    ["^\\S+@\\S+\\.\\S+$", 10_000],
  ];
  for (const [source, length] of unbounded) {
    test(`${source} is left to the process on ${length} characters`, () =>
      expect(isBounded(source, length)).toBe(false));
  }

  test("that backtracks for ever does not hold up the server", () => {
    const evil: ParamRules = { text: { type: "string", pattern: "^(a+)+$" } };
    const beganAtMs = performance.now();
    expect(checkParams(evil, { text: `${"a".repeat(40)}!` }).ok).toBe(true);
    expect(performance.now() - beganAtMs).toBeLessThan(100);
  });
});

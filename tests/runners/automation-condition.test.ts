import { describe, expect, test } from "bun:test";
import { evaluateExpression, isConditionTrue } from "../../src/runners/automation/condition.ts";
import { fromJson, type PythonValue, pythonStr } from "../../src/runners/automation/python-value.ts";

const variables: Record<string, PythonValue> = {
  names: ["Ann", null, "7", "Bob's"],
  counts: [3n, 2.5, 0n],
  logged_in: [true],
  empty: [],
  answer: fromJson({ status_code: 200, body: { status: "done", items: [1, { id: "x" }] } }),
};
const surroundings = { lookup: (name: string) => variables[name] };

describe("a condition", () => {
  test.each([
    ["logged_in[0]", true],
    ["not {logged_in[0]}", false],
    ["{logged_in[0]} and {counts[0]} > 2", true],
    ["names[0] == 'Ann' and counts[0] >= 3", true],
    ["names[0] != 'Ann' or counts[2]", false],
    ["names[1] is None", true],
    ["names[0] is not None and names[0] != 'skip'", true],
    ["1 < counts[0] <= 3 < 10", true],
    ["3 < counts[0] < nothing_here", false],
    ["'nn' in names[0] and 'Ann' in names and 'x' not in names", true],
    ["names[0] in ['Bob', 'Ann']", true],
    ["names[0] in ('Bob',)", false],
    ["len(names) == 4 and len(empty) == 0 and not empty", true],
    ["len(names[0]) + counts[0] * 2 == 9", true],
    ['names[-1] == "Bob\'s"', true],
    ["int(names[2]) - 1 == 6 and float('1.5') == 1.5 and str(1) == '1'", true],
    ["1 == True and 1.0 == 1 and '1' != 1 and None != False", true],
    ["-7 // 2 == -4 and -7 % 3 == 2 and 7 % -3 == -2 and 2 ** 3 ** 2 == 512 and -2 ** 2 == -4", true],
    ["10 / 4 == 2.5 and 10 // 4 == 2 and 'ab' * 2 == 'abab' and 'a' + 'b' == 'ab'", true],

    ["answer['status_code'] == 200", true],
  ])("%s is %p", (condition, expected) => {
    expect(isConditionTrue(condition, surroundings)).toBe(expected);
  });

  test.each([
    ["names.append(1)", "at character 6"],
    ["open('/etc/passwd')", '"open" may not be called at character 1'],
    ["__import__('os')", "may not be called"],
    ["[x for x in names]", 'Expected "]"'],
    ["names[0:1]", 'Expected "]" at character 8'],
    ["1 if True else 2", "Something follows"],
    ["lambda: 1", "cannot stand here"],
    ["names[0] = 1", "Something follows"],
    ["f'{names}'", "not allowed"],
    ["{'a': 1}", "Braces may only hold a variable"],
    ["{1}", "Braces may only hold a variable"],
    ["", "Expected a value at character 1"],
    ["1 +", "Expected a value"],
    ["len()", "takes one argument"],
    ["1 not 2", 'Expected "in"'],
    [`${"(".repeat(100)}1${")".repeat(100)}`, "nested too deeply"],
    [`${"-".repeat(100)}1`, "nested too deeply"],
    ["1 ".repeat(5_000), "longer than"],
  ])("%s is refused", (condition, message) => {
    expect(() => isConditionTrue(condition, surroundings)).toThrow(message);
  });

  test.each([
    ["nobody[0]", 'there is no variable "nobody" (at character 1)'],
    ["names[9]", "index 9 is out of range (there are 4) (at character 6)"],
    ["names['a']", "list cannot be indexed with str"],
    ["names[0] + 1", "+ does not work between str and int (at character 10)"],
    ["names[0] < 1", '"<" does not work between str and int'],
    ["1 / 0", "division by zero"],
    ["int('x')", "int() cannot read"],
    ["len(1)", "len() does not take int"],
    ["2 ** 100000", "grows too large"],
    ["'a' * 10000000", "grows too long"],
    ["constructor", "there is no variable"],
    ["answer['nope']", "there is no key"],
  ])("%s ends with what Python would raise", (condition, message) => {
    expect(() =>
      evaluateExpression(condition, {
        lookup: (name) => (Object.hasOwn(variables, name) ? variables[name] : undefined),
      }),
    ).toThrow(message);
  });

  test("looks into a stored response by its keys where that is allowed", () => {
    const members = { ...surroundings, members: true };
    expect(isConditionTrue("answer.body.status == 'done' and answer.body.items[1].id == 'x'", members)).toBe(true);
    expect(() => isConditionTrue("answer.body.constructor", members)).toThrow("there is no key");
  });

  test("computes with the text of a value in braces when a variable is set", () => {
    const texts = { ...surroundings, bracesAreText: true };
    expect(evaluateExpression("{names[2]} + 1", texts)).toBe(8n);
    expect(evaluateExpression("{counts[0]} / 2", texts)).toBe(1.5);
    expect(evaluateExpression("{names[0]} + '!'", texts)).toBe("Ann!");
  });
});

describe("Python's str", () => {
  test.each<[PythonValue, string]>([
    [true, "True"],
    [null, "None"],
    [3n, "3"],
    [2, "2.0"],
    [1e21, "1e+21"],
    ["x", "x"],
    [["a", 1n, null, "it's", 'q"'], `['a', 1, None, "it's", 'q"']`],
    [{ a: [true] }, "{'a': [True]}"],
  ])("%p is %s", (value, text) => {
    expect(pythonStr(value)).toBe(text);
  });
});

import { describe, expect, test } from "bun:test";
import { commandProblem, parseCommand } from "../../src/runners/automation/locator-command.ts";
import { type LocatorChain, parseLocator } from "../../src/runners/automation/locator-parse.ts";

type Step = [name: string, ...values: unknown[]];

describe("a locator command", () => {
  test.each<[string, Step[]]>([
    ['get_by_role("button", name="Start test")', [["get_by_role", "button", { name: "Start test" }]]],
    ['get_by_label("Target region")', [["get_by_label", "Target region"]]],
    [
      'locator("#id").nth(2)',
      [
        ["locator", "#id"],
        ["nth", 2],
      ],
    ],
    ["locator('#id').nth(-1).first.last", [["locator", "#id"], ["nth", -1], ["first"], ["last"]]],
    ['get_by_text(re.compile("save", re.I))', [["get_by_text", /save/i]]],
    [
      'get_by_text(re.compile(r"^\\d+\\s$", re.IGNORECASE | re.MULTILINE | re.DOTALL))',
      [["get_by_text", /^\d+\s$/ims]],
    ],
    ['get_by_text(re.compile("(?i)(?P<who>a)(?P=who)\\\\Z", flags=re.S))', [["get_by_text", /(?<who>a)\k<who>$/is]]],
    [
      'frame_locator("iframe").get_by_placeholder("Name")',
      [
        ["frame_locator", "iframe"],
        ["get_by_placeholder", "Name"],
      ],
    ],
    ['page.get_by_title("a").content_frame.locator("b")', [["get_by_title", "a"], ["content_frame"], ["locator", "b"]]],
    [
      'get_by_role(role="heading", level=2, exact=True, name=None,)',
      [["get_by_role", "heading", { level: 2, exact: true }]],
    ],
    [
      'get_by_role("checkbox", checked=False, include_hidden=True)',
      [["get_by_role", "checkbox", { checked: false, includeHidden: true }]],
    ],
    [
      'get_by_test_id("x").filter(has_text="y", has_not_text=re.compile("z"), visible=True)',
      [
        ["get_by_test_id", "x"],
        ["filter", { hasText: "y", hasNotText: /z/, visible: true }],
      ],
    ],
    ['get_by_alt_text("a" "b")', [["get_by_alt_text", "ab"]]],
    [`locator("td[title='a\\"b\\\\c\\u00e9\\x41\\n']")`, [["locator", `td[title='a"b\\cé\u0041\n']`]]],
    ["get_by_text(r'C:\\new')", [["get_by_text", "C:\\new"]]],
    ['get_by_text("""two\nlines""")', [["get_by_text", "two\nlines"]]],
  ])("%s is read", (command, steps) => {
    expect(parseLocator(command)).toEqual(chain(steps));
  });

  test("holds other locators as arguments", () => {
    const read = parseLocator(
      'locator("tr").filter(has=page.locator("td").first).and_(get_by_text("a")).or_(page.locator("b"))',
    );
    expect(read.steps[1]?.options).toEqual({ has: chain([["locator", "td"], ["first"]]) });
    expect(read.steps[2]?.values).toEqual([chain([["get_by_text", "a"]])]);
    expect(read.steps[3]?.values).toEqual([chain([["locator", "b"]])]);
  });

  test.each([
    ['get_by_role("button").click()', '"click" is not a locator method at character 23'],
    ['__import__("os").system("id")', '"__import__" is not a locator method at character 1'],
    ['get_by_text(open("x").read())', '"open" is not a locator method at character 13'],
    ['constructor("x")', '"constructor" is not a locator method'],
    ['locator(f"{x}")', 'the prefix "f" are not allowed at character 9'],
    ['locator(b"x")', 'the prefix "b"'],
    ['locator("a"); import os', 'Unexpected ";" at character 13'],
    ['locator("a") if True else 1', "Something follows"],
    ['locator("a")[0]', "Something follows"],
    ['locator("a" + "b")', 'Expected "," or ")" at character 13'],
    ['locator("a', "no closing quote at character 9"],
    ['locator("a"', 'Expected "," or ")"'],
    ["locator()", '"locator" needs its selector'],
    ["locator(1)", '"selector" must be a string at character 9'],
    ['locator("a", "b")', "too many arguments at character 14"],
    ['locator("a", timeout=5)', 'no argument "timeout"'],
    ['locator("a", constructor=5)', 'no argument "constructor"'],
    ['locator("a").nth(1.5)', '"index" must be a whole number'],
    ['locator("a").first()', "is a property"],
    ['locator("a").nth', "is a method"],
    ['filter(has_text="a")', '"filter" cannot follow a page'],
    ['frame_locator("a")', "A frame is no element"],
    ['frame_locator("a").nth(1)', '"nth" cannot follow a frame'],
    ['get_by_role(name="a", "button")', "A positional argument follows a named one"],
    ['get_by_text("a", exact=True, exact=True)', "given twice"],
    ['get_by_text("a", exact="yes")', '"exact" must be True or False'],
    ['get_by_text(re.compile("(", re.I))', "cannot be read"],
    ['get_by_text(re.compile("(?>a)"))', "only Python has"],
    ['get_by_text(re.compile("a", re.X))', "Only the flags re.I, re.M and re.S"],
    ['get_by_text(re.match("a"))', "Only re.compile"],
    ['get_by_text("\\N{BULLET}")', "Named characters"],
    ['get_by_text("\\ud8zz")', "not a character"],
    ["", "Expected the name of a locator method at character 1"],
  ])("%s is refused with its place", (command, message) => {
    expect(() => parseLocator(command)).toThrow(message);
  });

  test("is bounded in length, parts and depth", () => {
    expect(() => parseLocator(`locator("${"a".repeat(10_000)}")`)).toThrow("longer than 8000");
    expect(() => parseLocator(`locator("a")${".first".repeat(60)}`)).toThrow("More than 50 parts");
    expect(() => parseLocator(`${"locator('a', has=".repeat(12)}1${")".repeat(12)}`)).toThrow("nested too deeply");
  });

  test("takes values into its strings without reading them as syntax", () => {
    const fill = (text: string) =>
      text.replace("{name[0]}", 'x").evil("').replace("{at[0]}", "3").replace("{locator[row]}", 'locator("tr").nth(4)');
    expect(parseCommand('get_by_text("{name[0]}")', fill)).toEqual(chain([["get_by_text", 'x").evil("']]));
    expect(parseCommand('locator("a").nth({at[0]})', fill)).toEqual(
      chain([
        ["locator", "a"],
        ["nth", 3],
      ]),
    );
    expect(parseCommand('{locator[row]}.locator("td")', fill)).toEqual(
      chain([
        ["locator", "tr"],
        ["nth", 4],
        ["locator", "td"],
      ]),
    );
    expect(() => parseCommand("{name[0]}", fill)).toThrow("not allowed");
  });

  test("is looked at when a document is loaded, placeholders or not", () => {
    expect(commandProblem('{locator[row]}.get_by_role("button", name="{a[0]}").nth({index})')).toBeNull();
    expect(commandProblem("{whole_command[0]}")).toBeNull();
    expect(commandProblem('get_by_role("button").click()')).toContain('"click"');
  });
});

function chain(steps: Step[]): LocatorChain {
  return {
    steps: steps.map(([name, ...rest]) => {
      const isOptions = (value: unknown) => typeof value === "object" && !(value instanceof RegExp);
      const options = rest.find(isOptions) ?? {};
      return {
        name,
        values: rest.filter((value) => !isOptions(value)) as string[],
        options: options as Record<string, string>,
      };
    }),
  };
}

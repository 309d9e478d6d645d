import { describe, expect, test } from "bun:test";
import { commands } from "../../src/cli/commands.ts";
import { flagsOf, fullHelp, overview, shortHelp } from "../../src/cli/help.ts";
import { cli } from "./cli.ts";

const screen = { lines: 40, columns: 80 };
const names = commands.map(({ name }) => name);

describe("help", () => {
  test("names every command that was promised", () => {
    const promised =
      "serve work migrate run submit jobs job logs cancel retry files webhook functions token doctor openapi bench";
    expect(names.toSorted()).toEqual(promised.split(" ").toSorted());
  });

  test("lists the commands on one screen", async () => {
    const { code, out, err } = await cli([]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toBe(overview("0.1.0"));
    expectScreen(out);
    for (const name of names) expect(out).toContain(`\n  ${name} `);
  });

  test.each(names)("-h of %s fits one screen and names each flag", (name) => {
    const command = commands.find((one) => one.name === name);
    if (command === undefined) throw new Error(name);
    const text = shortHelp(command);
    expectScreen(text);
    for (const flag of Object.keys(flagsOf(command))) expect(text).toContain(`--${flag}`);
  });

  test.each(names)("--help of %s begins with examples, the first of which uses it", (name) => {
    const command = commands.find((one) => one.name === name);
    if (command === undefined) throw new Error(name);
    expect(fullHelp(command).split("\n")[2]).toBe("Examples:");
    expect(command.examples[0]?.line).toContain(`fairlead ${name}`);
  });

  test("is printed by a process, on stdout, with 0", async () => {
    const [short, full, asked] = await Promise.all([cli(["run", "-h"]), cli(["run", "--help"]), cli(["help", "run"])]);
    expect(short).toMatchObject({ code: 0, err: "" });
    expect(short.out).toStartWith("fairlead run: ");
    expect(full.out).toContain("Exit codes:");
    expect(asked.out).toBe(full.out);
  });

  test("is asked for before anything is started", async () => {
    const { code, out } = await cli(["serve", "-h"]);
    expect(code).toBe(0);
    expect(out).toContain("--demo");
  });
});

describe("what is written wrongly ends with 2 and", () => {
  const wrong: [words: string[], said: string][] = [
    [["jbos"], 'there is no command "jbos"; did you mean jobs?'],
    [["cancle", "x"], "did you mean cancel?"],
    [["func"], "did you mean functions?"],
    [["zzzzzz"], "there are run, submit, jobs"],
    [["run", "x.sh", "--netwrok"], "did you mean --network?"],
    [["jobs", "--no-such-flag"], "there is no flag --no-such-flag"],
    [["serve", "--dmeo"], "did you mean --demo?"],
    [["jobs", "-Z"], "there is no flag -Z"],
    [["run"], "something is missing; write: fairlead run <script>"],
    [["job", "a", "b"], '"b" is too much'],
    [["jobs", "--limit"], "--limit needs a value: --limit N"],
    [["jobs", "--limit", "many"], '--limit must be a whole number from 1 to 200, and is "many"'],
    [["run", "x.sh", "--network=yes"], "--network takes no value"],
    [["run", "x.sh", "--timeout", "soon"], "--timeout must be a time such as 90, 90s, 5m or 2h"],
    [["jobs", "--url", "nowhere"], "is not the address of a service"],
    [["submit"], "say what is to run"],
    [["submit", "hello", "--automation", "x"], "say one thing that is to run"],
    [["submit", "hello", "--input", "{no"], "--input is not JSON"],
    [["submit", "hello", "--input", "[1]"], "must be a JSON object"],
    [["token", "--issuer-dev"], "say whose token it is"],
    [["token"], "say which job"],
    [["webhook", "send"], "write: fairlead webhook listen"],
  ];
  test.each(wrong)("%j says what to write", async (words, said) => {
    const { code, out, err } = await cli(words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(said);
  });

  test("an address in the environment that is none is named with its variable", async () => {
    const { code, err } = await cli(["jobs"], { environment: { FAIRLEAD_URL: "nowhere" } });
    expect(code).toBe(2);
    expect(err).toContain("FAIRLEAD_URL must be a full URL");
  });
});

test("the version is that of the package", async () => {
  const manifest = await Bun.file(new URL("../../package.json", import.meta.url)).json();
  expect(await cli(["--version"])).toEqual({ code: 0, out: `fairlead ${manifest.version}\n`, err: "" });
});

test("a service that is not there is said with what to do, and ends with 1", async () => {
  const { code, out, err } = await cli(["jobs", "--url", "http://127.0.0.1:9"]);
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toContain("No answer from http://127.0.0.1:9: nothing listens there");
  expect(err).toContain("fairlead serve");
});

function expectScreen(text: string): void {
  const lines = text.trimEnd().split("\n");
  expect(lines.length).toBeLessThanOrEqual(screen.lines);
  expect(lines.filter((line) => Bun.stringWidth(line) > screen.columns)).toEqual([]);
}

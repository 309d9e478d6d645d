import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { openFunctions } from "../support/function-trial.ts";
import { until } from "../support/until.ts";

const good = `export default { params: { name: { type: "string", required: true } }, handler: () => "ok" };`;

test("a catalog lists what its files declare", async () => {
  await using trial = await openFunctions({
    "greet.ts": `
      import { defineFunction } from "fairlead";
      export const other = 1;
      export const greet = defineFunction({
        description: "Greets",
        params: { name: { type: "string", pattern: /^[a-z]+$/, default: "ada" }, n: { type: "number", min: 1 } },
        config: { timeout: 1500, maxRetries: 2, supportsStreaming: true, logResult: false },
        handler: ({ name }) => name,
      });
      export default { handler: () => "not this one" };`,
    "bare.js": `export default { handler() { return 1; } };`,
    "hello.example.ts": good,
  });
  expect(trial.runner.catalog.problems()).toEqual([]);
  expect(trial.runner.catalog.note()).toBeNull();
  expect(trial.runner.catalog.list().map(({ name }) => name)).toEqual(["bare", "greet", "hello"]);
  const { file, ...greet } = trial.runner.catalog.get("greet") ?? {};
  expect(file).toBe(join(trial.directory, "greet.ts"));
  expect(JSON.stringify(greet)).toBe(
    '{"name":"greet","params":{"name":{"type":"string","pattern":"^[a-z]+$","default":"ada"},"n":{"type":"number","min":1}},' +
      '"config":{"timeout":1500,"maxRetries":2,"supportsStreaming":true,"logResult":false},"description":"Greets"}',
  );
  expect((await trial.run("greet")).outcome).toMatchObject({ kind: "succeeded", output: "ada" });
});

test("a catalog passes over files that hold no functions", async () => {
  await using trial = await openFunctions({
    "a.ts": good,
    ".hidden.ts": good,
    "_shared.ts": good,
    "types.d.ts": "export type A = 1;",
    "notes.md": "",
    "sub/inner.ts": good,
  });
  expect(trial.runner.catalog.list().map(({ name }) => name)).toEqual(["a"]);
  expect(trial.runner.catalog.problems()).toEqual([]);
});

test("files that cannot be served are named with line and reason, and the others are served", async () => {
  await using trial = await openFunctions(
    {
      "good.ts": good,
      "syntax.ts": "export const a = 1;\n\nexport default {\n  params: {,\n};\n",
      "missing.ts": 'export const a = 1;\nimport { b } from "./nowhere.ts";\nexport default { handler: () => b };\n',
      "throws.ts": 'const a = 1;\nthrow new Error("no database");\n',
      "shape.ts": "export default { params: {} };\n",
      "nothing.ts": "export const other = 1;\n",
      "types.ts": 'export default { params: { a: { type: "date" } }, handler() {} };\n',
      "pattern.ts": 'export default { params: { a: { type: "string", pattern: "(" } }, handler() {} };\n',
      "timeout.ts": "export default { config: { timeout: -1 }, handler() {} };\n",
      "flags.ts": 'export default { params: { a: { type: "string", pattern: /a/i } }, handler() {} };\n',
      "exits.ts": "process.exit(4);\n",
      "hangs.ts": "for (;;);\n",
      "waits.ts": "await new Promise(() => setInterval(() => {}, 1000));\n",
    },
    { loadTimeoutMs: 700 },
  );
  expect(trial.runner.catalog.list().map(({ name }) => name)).toEqual(["good"]);
  const problems = Object.fromEntries(
    trial.runner.catalog.problems().map(({ file, line, message }) => [file, { line, message }]),
  );
  expect(problems["syntax.ts"]?.line).toBe(4);
  expect(problems["syntax.ts"]?.message).toContain("Expected");
  expect(problems["missing.ts"]).toEqual({ line: 2, message: "Cannot find module './nowhere.ts'" });
  expect(problems["throws.ts"]).toEqual({ line: 2, message: "no database" });
  expect(problems["shape.ts"]?.message).toContain("{ params, config, handler }");
  expect(problems["nothing.ts"]?.message).toContain('exports neither "nothing" nor a default');
  expect(problems["types.ts"]?.message).toBe("params.a.type must be one of string, number, boolean, object, array");
  expect(problems["pattern.ts"]?.message).toContain("params.a.pattern is not a regular expression");
  expect(problems["timeout.ts"]?.message).toContain("config.timeout must be milliseconds");
  expect(problems["flags.ts"]?.message).toContain("flags");
  expect(problems["exits.ts"]?.message).toBe("it ended its process with exit code 4 while it was loaded");
  expect(problems["hangs.ts"]?.message).toBe("loading it took longer than 700 ms");
  expect(problems["waits.ts"]?.message).toBe("loading it took longer than 700 ms");
  expect(Object.values(problems).filter(({ message }) => message.includes(trial.directory))).toEqual([]);
  expect(trial.log.lines().filter((line) => line.includes("a function is not served"))).toHaveLength(12);
  expect((await trial.run("good", { name: "x" })).outcome).toMatchObject({ kind: "succeeded", output: "ok" });
});

test("two files of one name: the one that is no example is served, the other is a problem", async () => {
  await using trial = await openFunctions({
    "a.example.ts": `export default { handler: () => "example" };`,
    "a.ts": `export default { handler: () => "real" };`,
  });
  expect((await trial.run("a")).outcome).toMatchObject({ output: "real" });
  expect(trial.runner.catalog.problems()).toEqual([
    { file: "a.example.ts", line: null, message: "a.ts is served under the name a: rename one of them" },
  ]);
});

test("a directory that is not there is an empty catalog with a note", async () => {
  await using trial = await openFunctions({}, { directory: "/nonexistent/functions" });
  expect(trial.runner.catalog.list()).toEqual([]);
  expect(trial.runner.catalog.note()).toBe(
    "FUNCTIONS_DIR /nonexistent/functions does not exist: no functions are served",
  );
  expect((await trial.run("any")).outcome).toEqual({
    kind: "failed",
    error: { code: "invalid", message: "Function 'any' not found" },
  });
});

test("no file is run in the server's process", async () => {
  await using trial = await openFunctions({
    "where.ts": `globalThis.fairleadLeak = true; const pid = process.pid; export default { handler: () => pid };`,
  });
  const { outcome } = await trial.run("where");
  expect(outcome.kind).toBe("succeeded");
  expect(outcome).not.toMatchObject({ output: process.pid });
  expect(Reflect.has(globalThis, "fairleadLeak")).toBe(false);
});

test("a reload serves new files in new processes while the old ones finish", async () => {
  await using trial = await openFunctions({
    "word.ts": `export default { handler: () => "old" };`,
    "slow.ts": `export default { async handler({}, { log }) { log("begun"); await Bun.sleep(400); return "finished"; } };`,
  });
  const slow = trial.start("slow");
  await until("the slow function runs", () => slow.logs.length > 0);
  expect((await trial.run("word")).outcome).toMatchObject({ output: "old" });
  await trial.write("word.ts", `export default { handler: () => "new" };`);
  await trial.write("more.ts", `export default { handler: () => "more" };`);
  await rm(join(trial.directory, "slow.ts"));
  await trial.runner.reload();
  expect(trial.runner.catalog.list().map(({ name }) => name)).toEqual(["more", "word"]);
  expect((await trial.run("word")).outcome).toMatchObject({ output: "new" });
  expect((await trial.run("more")).outcome).toMatchObject({ output: "more" });
  expect((await slow.ended).outcome).toMatchObject({ kind: "succeeded", output: "finished" });
});

test("a watched directory is reloaded when a file changes, and not after the watch has ended", async () => {
  await using trial = await openFunctions({ "word.ts": `export default { handler: () => 1 };` });
  const unwatch = trial.runner.watch();
  await trial.write("word.ts", `export default { handler: () => 2 };`);
  await until("the change is served", async () => {
    const { outcome } = await trial.run("word");
    return outcome.kind === "succeeded" && outcome.output === 2;
  });
  await trial.write("broken.ts", `export default {`);
  await until("the problem is known", () => trial.runner.catalog.problems().length === 1);
  expect((await trial.run("word")).outcome).toMatchObject({ output: 2 });
  unwatch();
});

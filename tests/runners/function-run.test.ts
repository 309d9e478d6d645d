import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type FunctionTrial, openFunctions } from "../support/function-trial.ts";

const handlers: Record<string, string> = {
  echo: "(params) => params",
  later: "async () => { await Bun.sleep(5); return [1]; }",
  nothing: "() => undefined",
  nan: "() => NaN",
  infinite: "() => -Infinity",
  innerNan: "() => ({ a: NaN })",
  callback: "() => () => 1",
  symbol: "() => Symbol('a')",
  cycle: "() => { const a = {}; a.a = a; return a; }",
  bigint: "() => ({ a: 1n })",
  nul: "() => 'a\\u0000b'",
  date: "() => ({ at: new Date(0), toJSON: undefined })",
  badJson: "() => ({ toJSON() { throw new Error('no JSON today'); } })",
  throwsError: "() => { throw new RangeError('too far'); }",
  throwsEmpty: "() => { throw new TypeError(); }",
  throwsText: "() => { throw 'just text'; }",
  throwsObject: "() => { throw { code: 7 }; }",
  throwsMessage: "() => { throw { message: 'like an error' }; }",
  throwsNothing: "() => { throw undefined; }",
  throwsNull: "() => { throw null; }",
  throwsHostile: "() => { throw { get message() { throw 1; }, toString() { throw 2; }, toJSON() { throw 3; } }; }",
  rejects: "async () => { await Bun.sleep(1); throw new Error('later'); }",
  throwsLong: "() => { throw new Error('x'.repeat(1e6)); }",
  large: "({ bytes }) => 'x'.repeat(bytes)",
  context:
    "(params, { jobId, attempt, streaming, signal }) => ({ jobId, attempt, streaming, aborted: signal.aborted })",
  size: "({ text }) => text.length",
  pid: "() => process.pid",
  prints: `async (params, { log, stream }) => {
    console.log("one", { two: 2 }, "%s");
    console.info("%s-%d", "three", 4);
    console.debug("five");
    console.warn("six");
    console.error("seven");
    stream("piece");
    console.table([{ a: 1 }]);
    process.stdout.write("eight\\nni");
    process.stdout.write("ne");
    process.stderr.write("ten\\n");
    log("eleven", 11);
    log.debug("twelve");
    log.info("thirteen");
    log.warn("fourteen");
    log.error("fifteen");
    process.stdout.write("last, without an end");
  }`,
  rawOutput: `async () => {
    require("node:fs").writeSync(1, "around the console\\n");
    await Bun.spawn(["sh", "-c", "echo from a program; echo its error >&2"], { stdout: "inherit", stderr: "inherit" }).exited;
    await Bun.sleep(50);
  }`,
  progresses: `async (params, { progress }) => {
    progress(0, "begun");
    for (let i = 0; i < 10_000; i += 1) progress(i / 10_000);
    progress(7);
  }`,
  badProgress: "(params, { progress }) => { progress(NaN); }",
  streams: `async (params, { stream }) => {
    stream("a"); stream(""); stream(1); stream(new TextEncoder().encode("ü"));
  }`,
  evil: "() => 'matched'",
  spins: "({ ms }) => { const until = performance.now() + ms; while (performance.now() < until); }",
  env: "() => process.env",
};

let trial: FunctionTrial;

beforeAll(async () => {
  const files = Object.entries(handlers).map(([name, handler]) => {
    const params = { bytes: { type: "number" }, text: { type: "string" }, ms: { type: "number" } };
    const rules = name === "evil" ? { text: { type: "string", pattern: "^(a+)+$" } } : params;
    return [`${name}.ts`, `export default { params: ${JSON.stringify(rules)}, handler: ${handler} };`];
  });
  trial = await openFunctions(Object.fromEntries(files), { resultMaxBytes: 100_000 });
  expect(trial.runner.catalog.problems()).toEqual([]);
});

afterAll(() => trial[Symbol.asyncDispose]());

async function failure(name: string, input: unknown = {}): Promise<{ code: string; message: string }> {
  const { outcome } = await trial.run(name, input);
  if (outcome.kind !== "failed") throw new Error(`${name} did not fail: ${JSON.stringify(outcome)}`);
  return outcome.error;
}

describe("a result", () => {
  test("comes back as a value and as its JSON text", async () => {
    expect((await trial.run("echo", { text: 'ü "\n' })).outcome).toEqual({
      kind: "succeeded",
      output: { text: 'ü "\n' },
      outputJson: '{"text":"ü \\"\\n"}',
    });
    expect((await trial.run("later")).outcome).toMatchObject({ kind: "succeeded", output: [1] });
  });

  test("may be nothing", async () => {
    expect((await trial.run("nothing")).outcome).toEqual({ kind: "succeeded", output: undefined });
  });

  test("is written as JSON does", async () => {
    expect((await trial.run("innerNan")).outcome).toMatchObject({ outputJson: '{"a":null}' });
    expect((await trial.run("nul")).outcome).toMatchObject({ output: "a\u0000b" });
    expect((await trial.run("date")).outcome).toMatchObject({ outputJson: '{"at":"1970-01-01T00:00:00.000Z"}' });
  });

  const noJson: [string, string][] = [
    ["nan", "The function returned NaN, which is not JSON"],
    ["infinite", "The function returned -Infinity, which is not JSON"],
    ["callback", "The function returned a function, which is not JSON"],
    ["symbol", "The function returned a symbol, which is not JSON"],
    ["badJson", "The function returned what cannot be written as JSON: no JSON today"],
  ];
  for (const [name, message] of noJson) {
    test(`that is no JSON fails clearly: ${name}`, async () => {
      expect(await failure(name)).toEqual({ code: "function_error", message });
    });
  }

  test("with a cycle or a BigInt fails clearly", async () => {
    expect((await failure("cycle")).message).toContain("cyclic");
    expect((await failure("bigint")).message).toContain("BigInt");
  });

  test("of the largest size is kept, and one byte more fails with what to do", async () => {
    expect((await trial.run("large", { bytes: 99_998 })).outcome.kind).toBe("succeeded");
    expect(await failure("large", { bytes: 99_999 })).toEqual({
      code: "function_error",
      message: "The result has 100001 bytes; at most 100000 are allowed. Return less",
    });
  });
});

describe("what is thrown", () => {
  const cases: [string, string][] = [
    ["throwsError", "too far"],
    ["throwsEmpty", "TypeError"],
    ["throwsText", "just text"],
    ["throwsObject", '{"code":7}'],
    ["throwsMessage", "like an error"],
    ["throwsNothing", "undefined"],
    ["throwsNull", "null"],
    ["throwsHostile", "The function threw something that cannot be read"],
    ["rejects", "later"],
  ];
  for (const [name, message] of cases) {
    test(`is the error of the run: ${name}`, async () => {
      expect(await failure(name)).toEqual({ code: "function_error", message });
    });
  }

  test("is cut when it is long", async () => {
    expect((await failure("throwsLong")).message).toHaveLength(10_000);
  });

  test("leaves its place in the log, without the machine's paths", async () => {
    const { logs } = await trial.run("throwsError");
    expect(logs).toHaveLength(1);
    expect(logs[0]?.level).toBe("debug");
    expect(logs[0]?.text).toContain("throwsError.ts:1:");
    expect(logs[0]?.text).not.toContain(trial.directory);
  });
});

describe("a function", () => {
  test("is told about its job", async () => {
    const ended = await trial.run("context", {}, { jobId: "job-9", attempt: 3, options: { stream: true } });
    expect(ended.outcome).toMatchObject({ output: { jobId: "job-9", attempt: 3, streaming: true, aborted: false } });
    expect((await trial.run("context")).outcome).toMatchObject({ output: { attempt: 1, streaming: false } });
  });

  test("gets its input when that is at hand as text, line ends and all", async () => {
    const { outcome } = await trial.run("echo", undefined, { inputJson: '{\n  "text":\n "a\\nb"}' });
    expect(outcome).toMatchObject({ output: { text: "a\nb" } });
  });

  test("gets an input of several megabytes", async () => {
    expect((await trial.run("size", { text: "ü".repeat(4_000_000) })).outcome).toMatchObject({ output: 4_000_000 });
  });

  test("is not called with wrong parameters", async () => {
    expect(await failure("echo", { zzz: 1 })).toEqual({ code: "invalid", message: "Unexpected param: zzz" });
  });

  test("whose pattern backtracks for ever is ended at its timeout", async () => {
    const { outcome } = await trial.run("evil", { text: `${"a".repeat(40)}!` }, { timeoutMs: 200 });
    expect(outcome).toEqual({ kind: "timed_out", message: "Timeout" });
    expect(await failure("evil", { text: "ab" })).toEqual({
      code: "invalid",
      message: "Invalid format for param: text, does not match pattern ^(a+)+$",
    });
  });

  test("is measured", async () => {
    const { facts } = await trial.run("spins", { ms: 60 });
    expect(facts).toMatchObject({ sandbox: "process", exitCode: null, signal: null, limits: { memoryMb: 2_048 } });
    expect(facts.wallMs).toBeWithin(59, 2_000);
    expect(facts.cpuMs ?? 0).toBeWithin(5, facts.wallMs + 20);
    expect(facts.maxRssMb ?? 0).toBeWithin(10, 500);
  });
});

describe("what a function prints", () => {
  test("becomes log lines in order, each with its level", async () => {
    const { logs, pieces } = await trial.run("prints");
    expect(logs.map(({ level, text }) => `${level}: ${text}`)).toEqual([
      "info: one { two: 2 } %s",
      "info: three-4",
      "debug: five",
      "warn: six",
      "error: seven",
      expect.stringContaining("(index)"),
      "info: eight",
      "warn: ten",
      "info: eleven 11",
      "debug: twelve",
      "info: thirteen",
      "warn: fourteen",
      "error: fifteen",
      "info: ninelast, without an end",
    ]);
    expect(pieces).toEqual(["piece"]);
  });

  test("around the console is logged too", async () => {
    const { logs } = await trial.run("rawOutput");
    const lines = logs.flatMap(({ level, text }) => text.split("\n").map((line) => `${level}: ${line}`));
    expect(lines.sort()).toEqual(["info: around the console", "info: from a program", "warn: its error"]);
  });
});

describe("progress", () => {
  test("is thinned out, and the last report arrives", async () => {
    const { progress } = await trial.run("progresses");
    expect(progress[0]).toEqual({ fraction: 0, text: "begun" });
    expect(progress.at(-1)).toEqual({ fraction: 1 });
    expect(progress.length).toBeLessThan(50);
  });

  test("that is no number counts as none", async () => {
    expect((await trial.run("badProgress")).progress).toEqual([{ fraction: 0 }]);
  });
});

test("a stream passes on what is not empty, as text", async () => {
  expect((await trial.run("streams")).pieces).toEqual(["a", "1", "ü"]);
});

test("a function that patches the built-ins still gets its result out, and so does the next one", async () => {
  const handler = `() => {
    JSON.stringify = () => "broken"; JSON.parse = () => "broken"; process.exit = () => {};
    require("node:fs").writeSync = () => { throw new Error("patched"); };
    console.log("patched");
    return { a: 1 };
  }`;
  await using patching = await openFunctions(
    { "patches.ts": `export default { handler: ${handler} };`, "next.ts": "export default { handler: () => 2 };" },
    { slots: 1 },
  );
  const { outcome, logs } = await patching.run("patches");
  expect(outcome).toMatchObject({ output: { a: 1 } });
  expect(logs).toEqual([{ level: "info", text: "patched" }]);
  expect((await patching.run("next")).outcome).toMatchObject({ output: 2 });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type FunctionTrial, openFunctions, untilDead } from "../support/function-trial.ts";
import { until } from "../support/until.ts";

const handlers: Record<string, string> = {
  fine: "() => 'fine'",
  pid: "() => process.pid",
  exits: "({ code }) => { console.log('before'); process.exit(code); }",
  aborts: "() => process.abort()",
  killsItself: "() => process.kill(process.pid, 'SIGKILL')",
  throwsAside: "async () => { setTimeout(() => { throw new Error('from the side'); }, 5); await Bun.sleep(5000); }",
  rejectsAside: "async () => { Promise.reject(new Error('nobody caught it')); await Bun.sleep(5000); }",
  throwsAfter: "() => { setTimeout(() => { throw new Error('too late'); }, 5); return 'done'; }",
  rejectsAfter: "() => { Promise.reject(new Error('too late')); return 'done'; }",
  closesReplies: "async () => { require('node:fs').closeSync(4); await Bun.sleep(5000); }",
  closesAll: "async () => { for (const fd of [3, 4]) require('node:fs').closeSync(fd); await Bun.sleep(5000); }",
  garbles: "async () => { require('node:fs').writeSync(4, 'garbage\\n'); await Bun.sleep(5000); }",
  forges: `async () => {
    const { writeSync } = require("node:fs");
    for (const nonce of ["", "0", "1", "abc"]) {
      writeSync(4, "+" + nonce + " 1 1 1 \\"forged\\"\\n");
      writeSync(4, JSON.stringify({ kind: "failed", nonce, code: "invalid", message: "forged", isFatal: false, wallMs: 0, cpuMs: 0, rssMb: 0 }) + "\\n");
      writeSync(4, JSON.stringify({ kind: "stream", nonce, text: "forged" }) + "\\n");
      writeSync(4, JSON.stringify({ kind: "released", nonces: [nonce] }) + "\\n");
    }
    writeSync(4, JSON.stringify({ kind: "ready" }) + "\\n");
    process.send?.({ kind: "done", json: "forged" });
    await Bun.sleep(20);
    return "honest";
  }`,
  forgesRetirement: `async ({ file }) => {
    const { appendFileSync, writeSync } = require("node:fs");
    appendFileSync(file, "x");
    writeSync(4, JSON.stringify({ kind: "retiring" }) + "\\n");
    await Bun.sleep(30);
    process.exit(5);
  }`,
  floodsConnection: `() => { const { writeSync } = require("node:fs"); for (;;) writeSync(4, "x".repeat(100_000)); }`,
  hoards: "() => { const all = []; for (;;) all.push(new Uint8Array(8 << 20).fill(1)); }",
  swells: "() => { globalThis.kept = new Uint8Array(600 << 20).fill(1); return process.pid; }",
  startsOthers: `async () => {
    const child = Bun.spawn(["sleep", "100"], { stdout: "ignore" });
    const daemon = Bun.spawn(["setsid", "sh", "-c", "sleep 100 & echo $!; wait"], { stdout: "pipe" });
    const reader = daemon.stdout.getReader();
    const grandchild = Number(new TextDecoder().decode((await reader.read()).value));
    console.log(JSON.stringify([process.pid, child.pid, daemon.pid, grandchild]));
    await Bun.sleep(20);
    process.exit(3);
  }`,
};

let trial: FunctionTrial;

beforeAll(async () => {
  const params = JSON.stringify({ code: { type: "number" }, file: { type: "string" } });
  const files = Object.entries(handlers).map(([name, handler]) => [
    `${name}.ts`,
    `export default { params: ${params}, handler: ${handler} };`,
  ]);
  trial = await openFunctions(Object.fromEntries(files), { slots: 2, memoryMaxMb: 700, resultMaxBytes: 1_000_000 });
});

afterAll(() => trial[Symbol.asyncDispose]());

/** The error of a run that must fail; afterwards the pool has to be as good as new. */
async function failure(name: string, input: unknown = {}) {
  const ended = await trial.run(name, input);
  if (ended.outcome.kind !== "failed") throw new Error(`${name} did not fail: ${JSON.stringify(ended.outcome)}`);
  await expectHealthy();
  return { ...ended, error: ended.outcome.error };
}

async function expectHealthy(): Promise<void> {
  const runs = await Promise.all([1, 2, 3, 4].map(() => trial.run("fine")));
  for (const { outcome } of runs) expect(outcome).toMatchObject({ kind: "succeeded", output: "fine" });
}

describe("a function that ends its process", () => {
  for (const code of [0, 3]) {
    test(`with exit code ${code} fails, with what it had printed`, async () => {
      const { error, facts, logs } = await failure("exits", { code });
      expect(error).toEqual({
        code: "function_error",
        message: `The function ended its process with exit code ${code}`,
      });
      expect(facts).toMatchObject({ exitCode: code, signal: null });
      expect(logs).toEqual([{ level: "info", text: "before" }]);
    });
  }

  test("by abort or a signal fails, with the signal", async () => {
    expect((await failure("aborts")).error).toEqual({
      code: "killed_by_signal",
      message: "The function's process was killed by SIGABRT",
    });
    const { error, facts } = await failure("killsItself");
    expect(error).toEqual({
      code: "killed_by_signal",
      message: "The function's process was killed by SIGKILL",
    });
    expect(facts).toMatchObject({ exitCode: null, signal: "SIGKILL" });
  });

  test("leaves nothing behind that it had started", async () => {
    const { logs } = await failure("startsOthers");
    const pids: number[] = JSON.parse(logs[0]?.text ?? "[]");
    expect(pids).toHaveLength(4);
    await untilDead(...pids);
  });

  test("fails alone: what runs beside it succeeds", async () => {
    const runs = await Promise.all(
      Array.from({ length: 40 }, (_, at) => (at % 4 === 0 ? trial.run("exits", { code: 1 }) : trial.run("fine"))),
    );
    expect(runs.filter(({ outcome }) => outcome.kind === "failed")).toHaveLength(10);
    expect(runs.filter(({ outcome }) => outcome.kind === "succeeded")).toHaveLength(30);
  });
});

describe("an error that nobody catches", () => {
  test("while the function runs is the function's", async () => {
    expect((await failure("throwsAside")).error).toEqual({ code: "function_error", message: "from the side" });
    expect((await failure("rejectsAside")).error).toEqual({ code: "function_error", message: "nobody caught it" });
  });

  for (const name of ["throwsAfter", "rejectsAfter"]) {
    test(`after the function has ended is logged, and its process replaced: ${name}`, async () => {
      await using own = await openFunctions(
        {
          "late.ts": `export default { handler: ${handlers[name]} };`,
          "pid.ts": "export default { handler: () => process.pid };",
        },
        { slots: 1 },
      );
      // The process that is about to end must get no more work, at whatever moment that comes.
      for (let round = 0; round < 8; round += 1) {
        const before = await own.run("pid");
        expect((await own.run("late")).outcome).toMatchObject({ kind: "succeeded", output: "done" });
        const after = await Promise.all(
          Array.from({ length: 10 }, async (_, at) => {
            await Bun.sleep(at);
            return own.run("pid");
          }),
        );
        for (const { outcome } of after) expect(outcome.kind).toBe("succeeded");
        const replaced = until("another process answers", async () => {
          const { outcome } = await own.run("pid");
          return JSON.stringify(outcome) !== JSON.stringify(before.outcome);
        });
        expect(await replaced).toBe(true);
      }
      expect(own.log.lines().join("\n")).toContain("Thrown after its function had ended: too late");
    });
  }
});

describe("a function that tampers with the connection of its process", () => {
  test("by closing it fails", async () => {
    for (const name of ["closesReplies", "closesAll"]) {
      expect((await failure(name)).error).toEqual({
        code: "function_error",
        message: "The function closed the connection of its process",
      });
    }
  });

  test("by writing garbage fails", async () => {
    expect((await failure("garbles")).error).toEqual({
      code: "function_error",
      message: "The function wrote into the connection of its process",
    });
  });

  test("by an endless message fails, without the server holding it", async () => {
    const before = process.memoryUsage.rss();
    expect((await failure("floodsConnection")).error).toEqual({
      code: "function_error",
      message: "The function's process sent a message that is too large",
    });
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 2 ** 20);
  });

  test("by forged messages changes nothing", async () => {
    const runs = await Promise.all([trial.run("forges"), trial.run("fine"), trial.run("forges"), trial.run("fine")]);
    expect(runs.map(({ outcome }) => outcome.kind === "succeeded" && outcome.output)).toEqual([
      "honest",
      "fine",
      "honest",
      "fine",
    ]);
    expect(runs.flatMap(({ pieces }) => pieces)).toEqual([]);
  });

  test("by a forged farewell is not run again for ever", async () => {
    const file = `${trial.directory}/begun.txt`;
    const { error } = await failure("forgesRetirement", { file });
    expect(error.message).toBe("The function ended its process with exit code 5");
    expect(await Bun.file(file).text()).toBe("xxxx");
  });
});

describe("memory", () => {
  test("without end is cut off at the limit of the run", async () => {
    const { error, facts } = await failure("hoards");
    expect(error).toEqual({ code: "out_of_memory", message: "The function used more than 700 MiB of memory" });
    expect(facts.maxRssMb ?? 0).toBeGreaterThan(700);
  });

  test("of a process that has grown is given back by replacing it", async () => {
    const { outcome, facts } = await trial.run("swells");
    expect(facts.maxRssMb ?? 0).toBeGreaterThan(600);
    await untilDead(outcome.kind === "succeeded" ? Number(outcome.output) : 0);
    await expectHealthy();
  });
});

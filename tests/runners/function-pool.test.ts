import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isAlive, openFunctions, untilDead } from "../support/function-trial.ts";
import { until } from "../support/until.ts";

const pid = "export default { handler: () => process.pid };";
const sleeps = `export default {
  params: { ms: { type: "number", required: true } },
  async handler({ ms }, { log }) { log(process.pid); await Bun.sleep(ms); return process.pid; },
};`;

function outputs(ended: { outcome: { kind: string; output?: unknown } }[]): unknown[] {
  return ended.map(({ outcome }) => {
    expect(outcome.kind).toBe("succeeded");
    return outcome.output;
  });
}

describe("the pool of function processes", () => {
  test("is warm before the first task, and quick tasks one after another stay in few processes", async () => {
    await using trial = await openFunctions({ "pid.ts": pid }, { slots: 8, warm: 2 });
    expect(trial.runner.processes()).toBe(2);
    const pids = new Set<unknown>();
    for (let i = 0; i < 200; i += 1) for (const one of outputs([await trial.run("pid")])) pids.add(one);
    expect(pids.size).toBeLessThanOrEqual(2);
    expect(trial.runner.processes()).toBe(2);
  });

  test("runs as many slow tasks at once as it has slots, each in a process of its own", async () => {
    await using trial = await openFunctions({ "sleeps.ts": sleeps }, { slots: 6 });
    const runs = Array.from({ length: 6 }, () => trial.start("sleeps", { ms: 60_000 }));
    await until("six tasks run", () => runs.every(({ logs }) => logs.length === 1));
    expect(new Set(runs.map(({ logs }) => logs[0]?.text)).size).toBe(6);
    expect(trial.runner.processes()).toBe(6);
    for (const run of runs) run.stop("cancelled");
    await Promise.all(runs.map(({ ended }) => ended));
  });

  test("never has more processes than slots", async () => {
    await using trial = await openFunctions({ "sleeps.ts": sleeps }, { slots: 3 });
    const runs = Array.from({ length: 12 }, () => trial.run("sleeps", { ms: 40 }));
    expect(new Set(outputs(await Promise.all(runs))).size).toBeLessThanOrEqual(3);
    expect(trial.runner.processes()).toBeLessThanOrEqual(3);
  });

  test("shrinks to what is kept warm when there is nothing to do", async () => {
    await using trial = await openFunctions({ "sleeps.ts": sleeps }, { slots: 4, warm: 1, idleMs: 100 });
    const pids = outputs(await Promise.all([1, 2, 3, 4].map(() => trial.run("sleeps", { ms: 300 }))));
    expect(new Set(pids).size).toBeGreaterThan(1);
    await until("one process is left", () => trial.runner.processes() === 1, { withinMs: 20_000 });
    await until("the others are gone", () => pids.map(Number).filter(isAlive).length === 1);
    expect(outputs([await trial.run("sleeps", { ms: 1 })])).toHaveLength(1);
  });

  test("executes one task at a time in a process, and each exactly once", async () => {
    const marks = `import { appendFileSync } from "node:fs";
      let running = 0;
      export default {
        params: { at: { type: "number" }, ms: { type: "number" }, file: { type: "string" } },
        async handler({ at, ms, file }) {
          running += 1;
          appendFileSync(file, at + " " + running + "\\n");
          if (ms > 0) await Bun.sleep(ms);
          else await 1;
          running -= 1;
          return at;
        },
      };`;
    await using trial = await openFunctions({ "marks.ts": marks }, { slots: 16 });
    const file = join(trial.directory, "marks.txt");
    for (let i = 0; i < 30; i += 1) await trial.run("marks", { at: -1, ms: 0, file });
    // Mostly quick ones, which are handed over ahead of time, and now and then one that holds up those behind it.
    const runs = Array.from({ length: 3_000 }, (_, at) =>
      trial.run("marks", { at, ms: at % 150 === 0 ? 40 : 0, file }),
    );
    expect(outputs(await Promise.all(runs))).toEqual(Array.from({ length: 3_000 }, (_, at) => at));
    const lines = (await Bun.file(file).text())
      .trim()
      .split("\n")
      .map((line) => line.split(" ").map(Number));
    expect(lines.every(([, running]) => running === 1)).toBe(true);
    const done = lines.map(([at]) => at ?? -1).filter((at) => at >= 0);
    expect(done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 3_000 }, (_, at) => at));
  });

  test("loses no task that was handed over ahead to a process that then crashes", async () => {
    const risky = `import { appendFileSync } from "node:fs";
      export default {
        params: { at: { type: "number" }, file: { type: "string" } },
        handler({ at, file }) {
          appendFileSync(file, at + "\\n");
          if (at % 100 === 7) process.exit(9);
          return at;
        },
      };`;
    await using trial = await openFunctions({ "risky.ts": risky }, { slots: 16 });
    const file = join(trial.directory, "begun.txt");
    const ended = await Promise.all(
      Array.from({ length: 1_000 }, (_, at) =>
        trial.run("risky", { at, file }).then(({ outcome }) => ({ at, outcome })),
      ),
    );
    for (const { at, outcome } of ended) {
      if (at % 100 === 7) expect(outcome).toMatchObject({ kind: "failed", error: { code: "function_error" } });
      else expect(outcome).toMatchObject({ kind: "succeeded", output: at });
    }
    const begun = (await Bun.file(file).text()).trim().split("\n").map(Number);
    expect(begun.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, at) => at));
  });

  test("takes back what was handed over ahead when the task before it hangs", async () => {
    const hangs = `export default {
      params: { hang: { type: "boolean", default: false } },
      async handler({ hang }) { if (hang) await Bun.sleep(60_000); },
    };`;
    await using trial = await openFunctions({ "hangs.ts": hangs }, { slots: 2, warm: 2 });
    for (let i = 0; i < 20; i += 1) await trial.run("hangs");
    const stuck = trial.start("hangs", { hang: true });
    const behind = Array.from({ length: 8 }, () => trial.run("hangs"));
    for (const { outcome } of await Promise.all(behind)) expect(outcome.kind).toBe("succeeded");
    stuck.stop("cancelled");
    expect((await stuck.ended).outcome).toEqual({ kind: "cancelled" });
  });

  test("replaces a process that was killed from outside", async () => {
    await using trial = await openFunctions({ "pid.ts": pid }, { slots: 1, warm: 1 });
    const [first] = outputs([await trial.run("pid")]);
    process.kill(Number(first), "SIGKILL");
    await untilDead(Number(first));
    // A task that is handed over before the pool has noticed fails with its process.
    let next = await trial.run("pid");
    for (let tries = 0; tries < 20 && next.outcome.kind !== "succeeded"; tries++) next = await trial.run("pid");
    expect(outputs([next])).not.toEqual([first]);
  });

  test("that cannot start a process fails what waits, with the reason, and goes on trying", async () => {
    await using trial = await openFunctions({ "pid.ts": pid }, { slots: 1, warm: 1, cwd: "/nonexistent" });
    expect(trial.runner.catalog.list()).toEqual([]);
    expect(trial.runner.catalog.problems()[0]?.message).toContain("No function process could be started");
  });
});

describe("a server that is killed", () => {
  const server = `
    import { createLog } from "${import.meta.dir}/../../src/log.ts";
    import { createFunctionRunner } from "${import.meta.dir}/../../src/runners/function/runner.ts";
    const [directory, name] = process.argv.slice(2);
    const log = createLog({ level: "error", maxLines: 0 });
    const runner = await createFunctionRunner({ directory, slots: 2, log, environment: { PATH: process.env.PATH } });
    const request = { jobId: "j", taskIndex: 0, runId: "r", attempt: 1, target: name, input: {}, options: {}, limits: {},
      timeoutMs: 600_000, directory: null, traceparent: null };
    const say = (level, text) => process.stdout.write(text + "\\n");
    runner.start(request, { log: say, output: () => undefined, progress: () => undefined });
  `;
  const cases: [string, string][] = [
    ["waits", "await Bun.sleep(600_000)"],
    ["blocks", "for (;;)"],
  ];
  for (const [name, work] of cases) {
    test(`takes its function processes along, though one ${name}`, async () => {
      const handler = `async () => {
        const other = Bun.spawn(["sleep", "600"], { stdout: "ignore" });
        console.log(process.pid + " " + other.pid);
        ${work};
      }`;
      await using trial = await openFunctions({
        [`${name}.ts`]: `export default { handler: ${handler} };`,
        "_server.ts": server,
      });
      const command = [process.execPath, join(trial.directory, "_server.ts"), trial.directory, name];
      const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
      const { value } = await child.stdout.getReader().read();
      const pids = new TextDecoder().decode(value).trim().split(" ").map(Number);
      const idle = await childrenOf(child.pid);
      expect(pids).toHaveLength(2);
      expect(idle).toContain(pids[0] ?? 0);
      expect([...pids, ...idle].every(isAlive)).toBe(true);
      child.kill("SIGKILL");
      await untilDead(...pids, ...idle);
    });
  }
});

async function childrenOf(parent: number): Promise<number[]> {
  const threads = await readdir(`/proc/${parent}/task`);
  const lists = await Promise.all(threads.map((thread) => Bun.file(`/proc/${parent}/task/${thread}/children`).text()));
  return lists.flatMap((list) => list.split(" ").filter(Boolean).map(Number));
}

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type FunctionTrial, isAlive, openFunctions, type Started, untilDead } from "../support/function-trial.ts";
import { until } from "../support/until.ts";

const handlers: Record<string, string> = {
  fine: "() => 'fine'",
  sleeps: "async (params, { log }) => { log(process.pid); await Bun.sleep(60_000); }",
  blocks: "(params, { log }) => { log(process.pid); for (;;); }",
  cleansUp: `async (params, { log, signal }) => {
    log(process.pid);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    log("stopped by " + signal.reason.name);
    await Bun.sleep(50);
    log("cleaned up");
    return "too late to count";
  }`,
  ignores: `async (params, { log, signal }) => {
    log(process.pid);
    signal.addEventListener("abort", () => log("ignored"));
    await Bun.sleep(60_000);
  }`,
  startsOthers: `async (params, { log }) => {
    const child = Bun.spawn(["sleep", "100"], { stdout: "ignore" });
    const daemon = Bun.spawn(["setsid", "sh", "-c", "trap '' TERM; sleep 100 & echo $!; wait"], { stdout: "pipe" });
    const { value } = await daemon.stdout.getReader().read();
    log([process.pid, child.pid, daemon.pid, Number(new TextDecoder().decode(value))].join(" "));
    await Bun.sleep(60_000);
  }`,
  quick: "() => 1",
};

let trial: FunctionTrial;

beforeAll(async () => {
  const files = Object.entries(handlers).map(([name, handler]) => [
    `${name}.ts`,
    `export default { handler: ${handler} };`,
  ]);
  trial = await openFunctions(Object.fromEntries(files), { slots: 2, graceMs: 300 });
});

afterAll(() => trial[Symbol.asyncDispose]());

/** The processes a run has logged, once it has. */
async function processes(run: Started): Promise<number[]> {
  const [line] = await until("the function has told its processes", () => run.logs.length > 0 && run.logs);
  return (line?.text ?? "").split(" ").map(Number);
}

describe("a timeout", () => {
  test("ends a function that waits, its process and nothing else", async () => {
    const run = trial.start("sleeps", {}, { timeoutMs: 200 });
    const pids = await processes(run);
    const { outcome, facts } = await run.ended;
    expect(outcome).toEqual({ kind: "timed_out", message: "Timeout" });
    expect(facts.wallMs).toBeWithin(200, 700);
    expect(facts.signal).toBe("SIGKILL");
    await untilDead(...pids);
    expect((await trial.run("fine")).outcome).toMatchObject({ output: "fine" });
  });

  test("ends a function that blocks its process", async () => {
    const run = trial.start("blocks", {}, { timeoutMs: 200 });
    const pids = await processes(run);
    const { outcome, facts } = await run.ended;
    expect(outcome).toEqual({ kind: "timed_out", message: "Timeout" });
    expect(facts.wallMs).toBeWithin(200, 1_000);
    await untilDead(...pids);
  });

  test("tells a function that listens, and gives it time to clean up", async () => {
    const { outcome, logs } = await trial.run("cleansUp", {}, { timeoutMs: 100 });
    expect(outcome).toEqual({ kind: "timed_out", message: "Timeout" });
    expect(logs.map(({ text }) => text).slice(1)).toEqual(["stopped by TimeoutError", "cleaned up"]);
  });
});

describe("a cancelled run", () => {
  test("ends at once when nobody listens", async () => {
    const run = trial.start("sleeps");
    const pids = await processes(run);
    const atMs = performance.now();
    run.stop("cancelled");
    expect((await run.ended).outcome).toEqual({ kind: "cancelled" });
    expect(performance.now() - atMs).toBeLessThan(250);
    expect(pids.some(isAlive)).toBe(false);
  });

  test("is told so, and stays cancelled though it returns something", async () => {
    const run = trial.start("cleansUp");
    const pids = await processes(run);
    run.stop("cancelled");
    const { outcome, logs } = await run.ended;
    expect(outcome).toEqual({ kind: "cancelled" });
    expect(logs.map(({ text }) => text).slice(1)).toEqual(["stopped by AbortError", "cleaned up"]);
    expect(pids.some(isAlive)).toBe(false);
  });

  test("that ignores its signal is killed after the grace", async () => {
    const run = trial.start("ignores");
    const pids = await processes(run);
    const atMs = performance.now();
    run.stop("cancelled");
    const { outcome, logs } = await run.ended;
    expect(outcome).toEqual({ kind: "cancelled" });
    expect(performance.now() - atMs).toBeWithin(300, 1_000);
    expect(logs.at(-1)?.text).toBe("ignored");
    expect(pids.some(isAlive)).toBe(false);
  });

  test("takes everything with it that it had started", async () => {
    const run = trial.start("startsOthers");
    const pids = await processes(run);
    expect(pids.filter(isAlive)).toHaveLength(4);
    run.stop("cancelled");
    expect((await run.ended).outcome).toEqual({ kind: "cancelled" });
    await untilDead(...pids);
  });

  test("that still waits for a process ends without one", async () => {
    const running = [trial.start("sleeps"), trial.start("sleeps")];
    await Promise.all(running.map(processes));
    const waiting = trial.start("fine");
    waiting.stop("cancelled");
    const { outcome, facts } = await waiting.ended;
    expect(outcome).toEqual({ kind: "cancelled" });
    expect(facts.wallMs).toBe(0);
    for (const run of running) run.stop("cancelled");
    await Promise.all(running.map((run) => run.ended));
  });

  test("that has ended already stays as it was", async () => {
    const run = trial.start("fine");
    const { outcome } = await run.ended;
    run.stop("cancelled");
    expect(outcome).toMatchObject({ kind: "succeeded" });
    expect((await trial.run("fine")).outcome).toMatchObject({ kind: "succeeded" });
  });
});

describe("the reason to stop", () => {
  test("is the first one given", async () => {
    const run = trial.start("cleansUp");
    await processes(run);
    run.stop("interrupted");
    run.stop("cancelled");
    run.stop({ code: "file_limit", message: "too many files" });
    expect((await run.ended).outcome).toEqual({ kind: "interrupted" });
  });

  test("may be a failure, which ends the process without grace", async () => {
    const run = trial.start("ignores");
    await processes(run);
    const atMs = performance.now();
    run.stop({ code: "output_limit", message: "too much" });
    expect((await run.ended).outcome).toEqual({
      kind: "failed",
      error: { code: "output_limit", message: "too much" },
    });
    expect(performance.now() - atMs).toBeLessThan(250);
  });

  test("that the node lost its lease ends the process without grace", async () => {
    const run = trial.start("ignores");
    await processes(run);
    const atMs = performance.now();
    run.stop("fenced");
    expect((await run.ended).outcome).toEqual({ kind: "interrupted" });
    expect(performance.now() - atMs).toBeLessThan(250);
  });
});

test("runs that are cancelled at any moment end, and the others are all done", async () => {
  for (let i = 0; i < 20; i += 1) await trial.run("quick");
  const runs = Array.from({ length: 400 }, (_, at) => {
    const run = trial.start("quick");
    if (at % 20 === 0) setTimeout(() => run.stop("cancelled"), Math.random() * 5);
    return run.ended.then(({ outcome }) => ({ at, outcome }));
  });
  for (const { at, outcome } of await Promise.all(runs)) {
    if (at % 20 === 0) expect(["succeeded", "cancelled"]).toContain(outcome.kind);
    else expect(outcome).toMatchObject({ kind: "succeeded", output: 1 });
  }
});

test("a runner that is closed interrupts what runs and leaves no process", async () => {
  const own = await openFunctions({ "sleeps.ts": `export default { handler: ${handlers.sleeps} };` });
  const run = own.start("sleeps");
  const pids = await processes(run);
  await own[Symbol.asyncDispose]();
  expect((await run.ended).outcome).toEqual({ kind: "interrupted" });
  expect(pids.some(isAlive)).toBe(false);
  expect(own.runner.processes()).toBe(0);
  expect((await own.run("sleeps")).outcome).toEqual({
    kind: "failed",
    error: { code: "runner_error", message: "The function runner is closed" },
  });
});

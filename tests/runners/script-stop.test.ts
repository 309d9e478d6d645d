import { describe, expect, test } from "bun:test";
import type { StopReason } from "../../src/runners/contract.ts";
import { failureOf, hasBwrap, messageOf, sharedTrial } from "../support/script-trial.ts";
import { until } from "../support/until.ts";

const modes = [...(hasBwrap ? (["bwrap"] as const) : []), "none" as const];

describe.each(modes)("stopping a script under %s", (mode) => {
  const opened = sharedTrial({ mode, graceMs: 1_000 });

  const reasons: [reason: StopReason, outcome: string][] = [
    ["cancelled", "cancelled"],
    ["interrupted", "interrupted"],
    ["fenced", "interrupted"],
    ["timed_out", "timed_out"],
    [{ code: "lost", message: "the node is gone" }, "lost"],
  ];

  test.each(reasons)("as %j ends it so", async (reason, ends) => {
    const trial = await opened();
    const run = trial.start({ text: "echo up; sleep 1000" });
    await until("the script runs", () => run.output().includes("up"));
    run.active.stop(reason);
    run.active.stop("cancelled");
    const { outcome, facts } = await run.done;
    expect(failureOf(outcome)).toBe(ends);
    expect(facts.exitCode).toBeNull();
  });

  test("lets it and what it started end by themselves within the grace", async () => {
    const trial = await opened();
    const text = `trap 'echo script saves; exit 0' TERM
      perl -e '$SIG{TERM} = sub { select undef, undef, undef, 0.3; print "child saves\\n"; exit 0 }; $| = 1; print "up\\n"; sleep 1000' & wait`;
    const run = trial.start({ text });
    await until("the child runs", () => run.output().includes("up"));
    run.active.stop("interrupted");
    const { output, outcome, facts } = await run.done;
    expect(outcome.kind).toBe("interrupted");
    expect(output.split("\n").sort()).toEqual(["", "child saves", "script saves", "up"]);
    expect(facts.signal).toBeNull();
  });

  test("tells it once", async () => {
    const trial = await opened();
    const run = trial.start({
      text: "trap 'echo told' TERM; echo up; while :; do sleep 0.05; done",
      runId: crypto.randomUUID(),
    });
    await until("the script runs", () => run.output().includes("up"));
    run.active.stop("cancelled");
    expect((await run.done).output.match(/told/g)).toHaveLength(1);
  });

  test("kills one that ignores it when the grace is over", async () => {
    const trial = await opened();
    const run = trial.start({ text: "trap '' TERM; echo up; while :; do sleep 0.1; done" });
    await until("the script runs", () => run.output().includes("up"));
    run.active.stop("cancelled");
    const { facts, outcome } = await run.done;
    expect(outcome.kind).toBe("cancelled");
    expect(facts.signal).toBe("SIGKILL");
    expect(facts.wallMs).toBeGreaterThanOrEqual(900);
  });

  test("before it has begun runs nothing of it", async () => {
    const trial = await opened();
    const run = trial.start({ text: "echo ran" });
    run.active.stop("cancelled");
    const { outcome, output } = await run.done;
    expect([outcome.kind, output]).toEqual(["cancelled", ""]);
  });

  test("after it has ended changes nothing", async () => {
    const trial = await opened();
    const run = trial.start({ text: "exit 3" });
    const { outcome } = await run.done;
    run.active.stop("cancelled");
    expect(messageOf((await run.done).outcome)).toBe(messageOf(outcome));
  });

  test("is done by its own time as well", async () => {
    const trial = await opened();
    const { outcome } = await trial.run({ text: "sleep 1000", timeoutMs: 300 });
    expect(outcome).toEqual({ kind: "timed_out", message: "run.sh was stopped: it did not end within 0.3 s" });
  });
});

describe("many at once", () => {
  test("fifty scripts all run, and the event loop goes on", async () => {
    const trial = await sharedTrial({ mode: modes[0] ?? "none" })();
    const runs = Array.from({ length: 50 }, (_, turn) => trial.start({ text: `echo up; sleep 1; echo ${turn}` }));
    await until("all fifty run at the same time", () => runs.every((run) => run.output().includes("up")), {
      withinMs: 30_000,
    });
    const ended = await Promise.all(runs.map((run) => run.done));
    expect(ended.map(({ output }) => output)).toEqual(ended.map((_, turn) => `up\n${turn}\n`));
  }, 60_000);
});

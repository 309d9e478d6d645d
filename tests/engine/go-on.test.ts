import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cancel } from "../../src/engine/cancel.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { readJob } from "../../src/engine/read.ts";
import type { Outcome } from "../../src/runners/contract.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { failingOn, watching } from "../support/failing-database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { gapsOf, historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { scriptedFacts, type ScriptedRun } from "../support/scripted-runner.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const links = 6;
const chainTasks = Array.from({ length: links }, () => taskOf("add"));
/** How `goOnSql` begins to differ from what else ends a run. */
const stepMark = "started_link AS";

let database: TestDatabase;
let node: TestNode;
let statements: string[] = [];

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, {
    slots: 40,
    through: (db) => watching(db, (text) => statements.push(text)),
  });
  node.runner.on("add", add);
  // Stopped or not, it succeeds.
  node.runner.on("deaf", (run) => deafly(run), { isDeaf: true });
  await hasLooked(node);
});

afterAll(async () => {
  await node.stop();
});

const begun = () => statements.filter((text) => text.includes(stepMark)).length;

describe("links of a chain that goes on where it is", () => {
  test("end and begin with one statement each, and the last with one as well", async () => {
    // A look at the queue in between, of which there is one a second, may send a link through it.
    await until("a chain has gone on so from its first link to its last", async () => {
      statements = [];
      const { id } = await node.submitter.submit(jobOf({ tasks: chainTasks, input: { n: 0 } }));
      await isFinal(id);
      const job = await readJob(database.sql, id);
      expect(job).toMatchObject({ status: "succeeded", result: { n: links } });
      expect(job?.tasks.map((task) => task.output)).toEqual(chainTasks.map((_, at) => ({ n: at + 1 })));
      expect(await runsOf(database.sql, id)).toEqual(chainTasks.map((_, at) => `${at}/1 succeeded`));
      expect(await gapsOf(database.sql, id)).toEqual([]);
      expect((await historyOf(database.sql, id)).filter((line) => line === "result")).toHaveLength(links);
      return begun() === links - 1 && !statements.some((text) => text.includes("FOR UPDATE"));
    });
  });

  test("share statements among chains", async () => {
    statements = [];
    const jobs = Array.from({ length: 30 }, (_, n) => jobOf({ tasks: chainTasks, input: { n } }));
    const receipts = await Promise.all(jobs.map((job) => node.submitter.submit(job)));
    for (const [n, { id }] of receipts.entries()) {
      await isFinal(id);
      expect(await readJob(database.sql, id)).toMatchObject({ status: "succeeded", result: { n: n + links } });
      expect(await runsOf(database.sql, id)).toHaveLength(links);
    }
    expect(begun()).toBeLessThan((30 * (links - 1)) / 2);
  });

  test("are settled by themselves when their job was cancelled meanwhile", async () => {
    const { id } = await node.submitter.submit(jobOf({ tasks: [taskOf("deaf"), ...chainTasks], input: { n: 1 } }));
    await until("its first link runs", () => node.runner.isHolding(id));
    expect(await cancel(node.engine, id)).toBe("stopping");
    await isFinal(id);
    expect(await statusesOf(database.sql, id)).toEqual([
      ...["cancelled", "succeeded"],
      ...chainTasks.map(() => "cancelled"),
    ]);
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
  });

  test("write nothing for a run that is no longer the task's, nor begin a link twice", async () => {
    const { id } = await node.submitter.submit(
      jobOf({ tasks: [taskOf("hold"), taskOf("hold"), taskOf("add")], input: { n: 1 } }),
    );
    await until("its first link runs", () => node.runner.isHolding(id));
    const first = await claimedOf(id, 0);
    const end: Outcome = { kind: "succeeded", output: { n: 5 } };
    const twice = [first, first].map((task) => node.finisher.finish(task, end, scriptedFacts));
    expect((await Promise.all(twice)).toSorted()).toEqual(["recorded", "stale"]);
    expect(await node.finisher.finish(first, end, scriptedFacts)).toBe("stale");
    await until("its second link runs", () => node.runner.isHolding(id));
    node.runner.letGo(id, end);
    await isFinal(id);
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded", "1/1 succeeded", "2/1 succeeded"]);
  });

  test("give their slot back when nothing could be written, and go on later", async () => {
    let isBroken = true;
    await using broken = await openNode(database.address, {
      slots: 2,
      through: (db) => {
        const failing = failingOn(db, stepMark);
        return {
          ...db,
          hot: new Proxy(db.hot, { get: (_, name) => Reflect.get(isBroken ? failing.hot : db.hot, name) }),
        };
      },
    });
    broken.runner.on("add", add);
    await hasLooked(broken);
    node.worker.pause();
    const { id } = await broken.submitter.submit(jobOf({ tasks: [taskOf("hold"), ...chainTasks], input: { n: 1 } }));
    await until("its first link runs", () => broken.runner.isHolding(id));
    const first = await claimedOf(id, 0);
    await expect(broken.finisher.finish(first, { kind: "succeeded", output: { n: 0 } }, scriptedFacts)).rejects.toThrow(
      "as the test wants",
    );
    isBroken = false;
    expect(await statusesOf(database.sql, id)).toEqual(["running", "running", ...chainTasks.map(() => "queued")]);
    broken.runner.letGo(id, { kind: "succeeded", output: { n: 0 } });
    await isFinal(id);
    node.worker.resume();
    expect(await readJob(database.sql, id)).toMatchObject({ status: "succeeded", result: { n: links } });
    await until("its slot is free", () => broken.worker.slots()["function"]?.used === 0);
  });
});

/** Until a node has looked for work once it starts nothing at once. */
async function hasLooked({ worker }: TestNode): Promise<void> {
  await until("the node takes work on at once", () => {
    const isTaken = worker.reserve("function", "add");
    if (isTaken) worker.release("function");
    return isTaken;
  });
}

/** A task of a job as its runner had it, with the link that follows. */
async function claimedOf(jobId: string, index: number): Promise<Claimed> {
  const [row] = await database.sql<{ run_id: string; target: string; count: number }[]>`
    SELECT run_id::text AS run_id, (SELECT target FROM tasks n WHERE n.job_id = k.job_id AND n.index = k.index + 1) AS target,
      (SELECT count(*)::int FROM tasks n WHERE n.job_id = k.job_id) AS count
    FROM tasks k WHERE job_id = ${jobId} AND index = ${index}`;
  if (row === undefined) throw new Error(`job ${jobId} has no task ${index}`);
  const same = { turn: 1, timeoutMs: 60_000, maxAttempts: 1, backoffS: 1 };
  const link = { timeout_ms: 60_000, max_attempts: 1, backoff_s: 1, options: null, limits: null, input: null };
  return {
    ...same,
    ...{ jobId, index, runner: "function", target: "hold", runId: row.run_id, attempt: 1, lostRuns: 0, priority: 1 },
    ...{ inputJson: "{}", optionsJson: null, limitsJson: null, payloadId: null, traceparent: null, surface: "api" },
    ...{ taskCount: row.count, plain: false, queuedAtMs: Date.now(), startedAtMs: Date.now() },
    ahead: {
      link: { ...link, runner: "function", target: row.target, turn: 1, requires: null, need: null },
      isQuiet: true,
    },
  };
}

function add({ request }: { request: { input: unknown } }): Outcome {
  return { kind: "succeeded", output: { n: (request.input as { n: number }).n + 1 } };
}

async function deafly(run: ScriptedRun): Promise<Outcome> {
  void node.runner.hold(run);
  await run.stopped;
  return { kind: "succeeded", output: { n: 2 } };
}

async function isFinal(id: string): Promise<void> {
  await until(
    `job ${id} is final`,
    async () => {
      const [status] = await statusesOf(database.sql, id);
      return status !== "queued" && status !== "running";
    },
    { withinMs: 30_000 },
  );
}

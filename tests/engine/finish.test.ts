import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { readJob } from "../../src/engine/read.ts";
import type { Submission } from "../../src/engine/submission.ts";
import type { Outcome } from "../../src/runners/contract.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { gapsOf, historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { scriptedFacts } from "../support/scripted-runner.ts";
import { until } from "../support/until.ts";

const done: Outcome = { kind: "succeeded", output: { n: 1 } };
const failed: Outcome = { kind: "failed", error: { code: "function_error", message: "no" } };
const webhook = { url: "http://127.0.0.1:9/", events: ["completed"], kind: "test" };

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { isStarted: false });
});

afterAll(async () => {
  await node.stop();
});

for (const [path, more] of [
  ["plain", {}],
  ["complex", { webhook }],
] as const) {
  describe(`an end on the ${path} path`, () => {
    test("writes outcome, result, run and history together", async () => {
      const task = await begun(more);
      expect(task.plain).toBe(path === "plain");
      expect(await finish(task, done)).toBe("recorded");
      expect(await statusesOf(database.sql, task.jobId)).toEqual(["succeeded", "succeeded"]);
      expect(await runsOf(database.sql, task.jobId)).toEqual(["0/1 succeeded"]);
      expect(await historyOf(database.sql, task.jobId)).toEqual([
        "status queued",
        "status running",
        "status succeeded",
        "result",
        "completed succeeded",
      ]);
      expect(await gapsOf(database.sql, task.jobId)).toEqual([]);
      const job = await readJob(database.sql, task.jobId);
      expect(job).toMatchObject({ status: "succeeded", result: { n: 1 }, error: null, attempts: 1 });
      expect(job?.finished_at).not.toBeNull();
    });

    test("that comes twice counts once", async () => {
      const task = await begun(more);
      const both = await Promise.all([finish(task, done), finish(task, failed)]);
      expect(both.toSorted()).toEqual(["recorded", "stale"]);
      expect(await finish(task, failed)).toBe("stale");
      expect(await runsOf(database.sql, task.jobId)).toHaveLength(1);
      expect((await historyOf(database.sql, task.jobId)).filter((line) => line.startsWith("completed"))).toHaveLength(
        1,
      );
    });

    test("of a run that lost its task writes nothing", async () => {
      const task = await begun(more);
      expect(await finish(task, { kind: "interrupted" })).toBe("again");
      const next = await claimOne(task.jobId);
      expect(next).toMatchObject({ turn: 2, attempt: 1 });
      const before = await everything(task.jobId);
      for (const outcome of [done, failed, { kind: "interrupted" }, { kind: "cancelled" }] as const)
        expect(await finish(task, outcome)).toBe("stale");
      expect(await everything(task.jobId)).toEqual(before);
      expect(await finish(next, done)).toBe("recorded");
      expect(await runsOf(database.sql, task.jobId)).toEqual(["0/1 interrupted", "0/2 succeeded"]);
    });

    test("that cannot be stored is refused, and the task can still be failed", async () => {
      const task = await begun(more);
      const broken: Outcome = { kind: "succeeded", output: null, outputJson: '{"half":' };
      await expect(finish(task, broken)).rejects.toThrow();
      expect(await statusesOf(database.sql, task.jobId)).toEqual(["running", "running"]);
      expect(await finish(task, failed)).toBe("recorded");
    });

    test("keeps a failure with its output", async () => {
      const task = await begun(more);
      await finish(task, { ...failed, output: ["partial"] });
      const job = await readJob(database.sql, task.jobId);
      expect(job).toMatchObject({ status: "failed", error: { code: "function_error", message: "no" }, result: null });
      expect(job?.tasks[0]?.output).toEqual(["partial"]);
    });

    test("writes the run's last events before it", async () => {
      const task = await begun(more);
      await node.finisher.finish(task, done, scriptedFacts, [{ kind: "log", task: 0, data: '{"text":"bye"}' }]);
      const history = await historyOf(database.sql, task.jobId);
      expect(history.slice(2)).toEqual(["log", "status succeeded", "result", "completed succeeded"]);
      expect(await gapsOf(database.sql, task.jobId)).toEqual([]);
    });
  });
}

test("one result that cannot be stored fails alone in its group", async () => {
  const tasks = await Promise.all(Array.from({ length: 40 }, () => begun()));
  const ends = await Promise.allSettled(
    tasks.map((task, at) => finish(task, at === 17 ? { kind: "succeeded", output: null, outputJson: "{" } : done)),
  );
  expect(ends.filter((end) => end.status === "rejected")).toHaveLength(1);
  expect(ends.filter((end) => end.status === "fulfilled" && end.value === "recorded")).toHaveLength(39);
});

test("odd results are kept as they are", async () => {
  for (const outputJson of [
    '"\\u0000"',
    '"\\ud800"',
    "12345678901234567890.123456789",
    "1e400",
    '{"b":1,"a":2,"1":3}',
    `"${"x".repeat(100_000)}"`,
    "null",
  ]) {
    const task = await begun();
    expect(await finish(task, { kind: "succeeded", output: null, outputJson })).toBe("recorded");
    const [row] = await database.sql`SELECT output::text FROM tasks WHERE job_id = ${task.jobId}`;
    expect(row?.output).toBe(outputJson);
  }
});

describe("a charged failure", () => {
  test("is tried again after its backoff, doubled each time, until the attempts are used up", async () => {
    let task = await begun({ tasks: [taskOf("x", { maxAttempts: 3, backoffS: 7 })] });
    expect(await finish(task, failed)).toBe("again");
    expect(await statusesOf(database.sql, task.jobId)).toEqual(["queued", "queued"]);
    expect(await delayS(task.jobId)).toBeCloseTo(7, 0);
    task = await claimOne(task.jobId);
    expect(task).toMatchObject({ turn: 2, attempt: 2 });
    expect(await finish(task, { kind: "timed_out", message: "slow" })).toBe("again");
    expect(await delayS(task.jobId)).toBeCloseTo(14, 0);
    task = await claimOne(task.jobId);
    expect(await finish(task, failed)).toBe("recorded");
    expect(await runsOf(database.sql, task.jobId)).toEqual(["0/1 failed", "0/2 timed_out", "0/3 failed"]);
    const job = await readJob(database.sql, task.jobId);
    expect(job).toMatchObject({ status: "failed", attempts: 3, max_attempts: 3 });
    expect(await historyOf(database.sql, task.jobId)).toEqual([
      "status queued",
      "status running",
      "status queued failed",
      "status running",
      "status queued timed_out",
      "status running",
      "status failed",
      "completed failed",
    ]);
  });

  test("is final at once where one attempt was asked for", async () => {
    const task = await begun();
    expect(await finish(task, { kind: "timed_out", message: "slow" })).toBe("recorded");
    const job = await readJob(database.sql, task.jobId);
    expect(job).toMatchObject({ status: "failed", error: { code: "timed_out", message: "slow" } });
  });
});

test("an interruption is never charged", async () => {
  let task = await begun();
  for (let n = 0; n < 5; n++) {
    expect(await finish(task, { kind: "interrupted" })).toBe("again");
    task = await claimOne(task.jobId);
    expect(task).toMatchObject({ attempt: 1, turn: n + 2 });
  }
  expect(await finish(task, done)).toBe("recorded");
  expect((await readJob(database.sql, task.jobId))?.attempts).toBe(1);
});

describe("a webhook", () => {
  test("has its delivery written with the end", async () => {
    const task = await begun({ webhook: { ...webhook, sealed: "s" } });
    await finish(task, done);
    const [row] =
      await database.sql`SELECT event, url, sealed, content_type, body, state FROM deliveries WHERE job_id = ${task.jobId}`;
    expect(row).toEqual({
      event: "completed",
      url: webhook.url,
      sealed: "s",
      content_type: "application/json",
      body: JSON.stringify({ event: "completed", id: task.jobId, status: "succeeded", result: { n: 1 } }),
      state: "pending",
    });
  });

  test("that nobody can write does not keep its job from ending", async () => {
    for (const kind of ["nobody", "broken"]) {
      node.engine.renders.broken = () => {
        throw new Error("cannot be said");
      };
      const task = await begun({ webhook: { ...webhook, kind } });
      expect(await finish(task, done)).toBe("recorded");
      const [row] = await database.sql`SELECT state, attempts FROM deliveries WHERE job_id = ${task.jobId}`;
      expect(row?.state).toBe("failed");
      expect(row?.attempts[0].error).toContain("could not be written");
    }
  });

  test("of the start is told once, whether the job waited or not", async () => {
    await using busy = await openNode(database.address, { slots: 2 });
    const events = ["started", "completed"];
    busy.runner.on("twice", ({ request }) => (request.attempt === 1 ? failed : done));
    const tasks = [taskOf("twice", { maxAttempts: 2 }), taskOf("echo")];
    const { id } = await busy.submitter.submit(jobOf({ tasks, webhook: { ...webhook, events } }));
    await until("the job has ended", async () => (await statusesOf(database.sql, id))[0] === "succeeded");
    const rows = await database.sql<{ event: string }[]>`SELECT event FROM deliveries WHERE job_id = ${id} ORDER BY id`;
    expect(rows.map((row) => row.event)).toEqual(["started", "completed"]);
  });
});

async function begun(more: Partial<Submission> = {}): Promise<Claimed> {
  const { id } = await node.submitter.submit(jobOf(more));
  return claimOne(id);
}

const others: Claimed[] = [];

/** Claims until the job's task comes, even when it is not due. */
async function claimOne(jobId: string): Promise<Claimed> {
  await database.sql`UPDATE pgboss.job SET start_after = now() WHERE data->>'j' = ${jobId}`;
  return until(`job ${jobId} is claimed`, async () => {
    const at = others.findIndex((task) => task.jobId === jobId);
    if (at >= 0) return others.splice(at, 1)[0];
    others.push(...(await claim(node.engine, "function", 100)).claimed);
    return null;
  });
}

function finish(task: Claimed, outcome: Outcome) {
  return node.finisher.finish(task, outcome, scriptedFacts);
}

async function delayS(jobId: string): Promise<number> {
  const [row] = await database.sql<{ s: number }[]>`
    SELECT extract(epoch FROM start_after - now())::float8 AS s FROM pgboss.job WHERE data->>'j' = ${jobId}`;
  return row?.s ?? Number.NaN;
}

async function everything(jobId: string): Promise<unknown[]> {
  const tables = ["jobs", "tasks", "runs", "events", "deliveries"];
  const rows = [];
  for (const table of tables)
    rows.push(
      await database.sql.unsafe(
        `SELECT t::text FROM ${table} t WHERE ${table === "jobs" ? "id" : "job_id"} = $1 ORDER BY 1`,
        [jobId],
      ),
    );
  return rows.map((list) => list.map((row) => row.t));
}

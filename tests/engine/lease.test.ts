import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { register, renew, resign } from "../../src/engine/lease.ts";
import { readJob } from "../../src/engine/read.ts";
import { reap } from "../../src/engine/reap.ts";
import type { Submission } from "../../src/engine/submission.ts";
import type { Outcome } from "../../src/runners/contract.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { gapsOf, historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { scriptedFacts } from "../support/scripted-runner.ts";

const state = { capabilities: { tags: ["a"] }, slots: {}, region: "here", version: "1", lastClaimAtMs: null };
const failed: Outcome = { kind: "failed", error: { code: "function_error", message: "no" } };
const webhook = { url: "http://127.0.0.1:9/", events: ["completed"], kind: "test" };

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { isStarted: false });
});

afterEach(async () => {
  await database.sql`TRUNCATE jobs, tasks, runs, events, nodes, pauses, deliveries`;
  await database.sql`DELETE FROM pgboss.job`;
});

afterAll(async () => {
  await node.stop();
});

describe("a lease", () => {
  test("is taken, renewed and given up", async () => {
    const boot = crypto.randomUUID();
    const { lease } = node.db;
    expect(await register(lease, "n", boot, state)).toEqual({ maintenance: false });
    expect(await remainingMs("n")).toBeWithin(14_000, 15_001);
    await database.sql`UPDATE nodes SET lease_until = now() + interval '1 second'`;
    expect(await renew(lease, "n", boot, state)).toMatchObject({
      replaced: false,
      hasPeers: false,
      expired: false,
      owned: [],
    });
    expect(await remainingMs("n")).toBeWithin(14_000, 15_001);
    await resign(lease, "n", boot);
    expect(await remainingMs("n")).toBeLessThanOrEqual(0);
  });

  test("of other times holds for that long", async () => {
    const times = { leaseMs: 1_500, renewEveryMs: 300, giveUpAfterMs: 1_000 };
    await register(node.db.lease, "n", crypto.randomUUID(), state, times);
    expect(await remainingMs("n")).toBeWithin(1_000, 1_501);
  });

  test("belongs to the last process that took its name", async () => {
    const [first, second] = [crypto.randomUUID(), crypto.randomUUID()];
    await register(node.db.lease, "n", first, state);
    await register(node.db.lease, "n", second, state);
    expect((await renew(node.db.lease, "n", first, state)).replaced).toBe(true);
    expect((await renew(node.db.lease, "n", second, state)).replaced).toBe(false);
    await resign(node.db.lease, "n", first);
    expect(await remainingMs("n")).toBeGreaterThan(10_000);
  });

  test("brings back what a node must know", async () => {
    const boot = crypto.randomUUID();
    const task = await begun();
    await database.sql`INSERT INTO nodes (id, boot_id, version, lease_until) VALUES
      ('peer', gen_random_uuid(), '1', now() + interval '1 minute'), ('gone', gen_random_uuid(), '1', now())`;
    await database.sql`INSERT INTO pauses (queue, by) VALUES ('script', 'test')`;
    await register(node.db.lease, node.engine.nodeId, boot, state);
    await database.sql`UPDATE nodes SET maintenance = true WHERE id = ${node.engine.nodeId}`;
    await database.sql`UPDATE tasks SET stop_reason = 'cancelled', started_at = now() - interval '1 minute'`;
    expect(await renew(node.db.lease, node.engine.nodeId, boot, state)).toEqual({
      ...{ replaced: false, hasPeers: true, expired: false, maintenance: true, draining: false },
      ...{ paused: ["script"], stopping: [task.jobId], owned: [task.runId] },
      ...{ idlePeers: {}, needsStamp: "0", overdue: [], databaseMs: expect.any(Number) },
    });
    await database.sql`UPDATE tasks SET node_id = 'gone'`;
    expect((await renew(node.db.lease, node.engine.nodeId, boot, state)).expired).toBe(true);
  });
});

describe("the reaper", () => {
  for (const [path, more] of [
    ["plain", {}],
    ["complex", { webhook }],
  ] as const)
    test(`returns the ${path} tasks of a node whose lease ran out, and of no other`, async () => {
      const lost = await begun({ ...more, tasks: [taskOf("x", { maxAttempts: 2 })] });
      await leaseOf(node.engine.nodeId, -1);
      const kept = await begun();
      await database.sql`UPDATE tasks SET node_id = 'alive' WHERE job_id = ${kept.jobId}`;
      await leaseOf("alive", 60);
      await using other = await openNode(database.address, { isStarted: false });
      expect(await reap(other.engine, "expired")).toEqual({ returned: 1, hasMore: false, faults: [] });
      expect(await statusesOf(database.sql, lost.jobId)).toEqual(["queued", "queued"]);
      expect(await statusesOf(database.sql, kept.jobId)).toEqual(["running", "running"]);
      expect(await runsOf(database.sql, lost.jobId)).toEqual(["0/1 lost"]);
      expect(await historyOf(database.sql, lost.jobId)).toContain("status queued lost");
      expect(await reap(other.engine, "expired")).toMatchObject({ returned: 0 });
      const { claimed } = await claim(other.engine, "function", 10);
      expect(claimed[0]).toMatchObject({ jobId: lost.jobId, turn: 2, attempt: 1, lostRuns: 1 });
      expect(await node.finisher.finish(lost, { kind: "succeeded", output: 1 }, scriptedFacts)).toBe("stale");
      expect(await other.finisher.finish(claimed[0] as Claimed, { kind: "succeeded", output: 2 }, scriptedFacts)).toBe(
        "recorded",
      );
      expect(await readJob(database.sql, lost.jobId)).toMatchObject({ status: "succeeded", result: 2 });
      expect(await gapsOf(database.sql, lost.jobId)).toEqual([]);
    });

  test("lets two at once return each task once", async () => {
    const lost = await Promise.all(Array.from({ length: 50 }, () => begun()));
    await leaseOf(node.engine.nodeId, -1);
    await using one = await openNode(database.address, { isStarted: false });
    await using two = await openNode(database.address, { isStarted: false });
    const [first, second] = await Promise.all([reap(one.engine, "expired"), reap(two.engine, "expired")]);
    expect(first.returned + second.returned).toBe(50);
    for (const { jobId } of lost) expect(await runsOf(database.sql, jobId)).toEqual(["0/1 lost"]);
    expect(await database.sql`SELECT 1 FROM pgboss.job`).toHaveLength(50);
  });

  test("fails a task that was lost three times, for it may be the cause", async () => {
    const { jobId } = await begun({ tasks: [taskOf("x", { maxAttempts: 9 })], webhook });
    for (const turn of [1, 2, 3]) {
      await database.sql`UPDATE tasks SET node_id = 'gone'`;
      expect(await reap(node.engine, "expired")).toMatchObject({ returned: 1 });
      expect(await runsOf(database.sql, jobId)).toHaveLength(turn);
      if (turn < 3) expect((await claim(node.engine, "function", 10)).claimed[0]).toMatchObject({ jobId, attempt: 1 });
    }
    const job = await readJob(database.sql, jobId);
    expect(job).toMatchObject({ status: "failed", error: { code: "lost" } });
    expect(job?.error?.message).toContain("3 times");
    expect(await runsOf(database.sql, jobId)).toEqual(["0/1 lost", "0/2 lost", "0/3 lost"]);
    expect(await database.sql`SELECT 1 FROM deliveries`).toHaveLength(1);
  });

  test.each([
    ["plain", {}],
    ["complex", { webhook }],
  ] as const)(
    "does not count %s runs whose process lives and reports them after all, save that it is always so",
    async (_path, more) => {
      let task = await begun(more);
      const { jobId } = task;
      for (let turn = 1; turn <= 12; turn++) {
        await database.sql`UPDATE tasks SET node_id = 'gone'`;
        expect(await reap(node.engine, "expired")).toMatchObject({ returned: 1 });
        const next = turn === 12 ? task : (await claim(node.engine, "function", 1)).claimed[0];
        expect(await node.finisher.finish(task, { kind: "interrupted" }, scriptedFacts)).toBe("stale");
        const [row] = await database.sql`SELECT lost_runs AS lost FROM tasks`;
        expect(row?.["lost"]).toBe(Math.max(0, turn - 9));
        if (next === undefined) throw new Error(`turn ${turn + 1} was not claimed`);
        task = next;
      }
      expect(await readJob(database.sql, jobId)).toMatchObject({ status: "failed", error: { code: "lost" } });
    },
  );

  test("lets tasks that were lost twice together have their last run one after another", async () => {
    for (let n = 0; n < 3; n++) await begun({ id: `suspect-${n}` });
    for (const left of [3, 1, 1, 1]) {
      await database.sql`UPDATE tasks SET node_id = 'gone' WHERE status = 'running'`;
      await reap(node.engine, "expired");
      expect((await claim(node.engine, "function", 10)).claimed).toHaveLength(left);
    }
    const ends = await database.sql<{ n: number }[]>`
      SELECT count(*)::int AS n FROM jobs WHERE status = 'failed' GROUP BY concurrency_key`;
    expect([...ends]).toEqual([{ n: 2 }]);
    const { claimed } = await claim(node.engine, "function", 10);
    expect(claimed).toEqual([]);
    const [last] = await database.sql<{ job_id: string }[]>`SELECT job_id FROM tasks WHERE status = 'running'`;
    expect(last?.job_id).toStartWith("suspect-");
  });

  test("counts the lost runs of a task over failures in between", async () => {
    let task = await begun({ tasks: [taskOf("x", { maxAttempts: 9 })] });
    const { jobId } = task;
    for (const way of ["lost", "failed", "lost", "lost"] as const) {
      if (way === "failed") await node.finisher.finish(task, failed, scriptedFacts);
      else {
        await database.sql`UPDATE tasks SET node_id = 'gone'`;
        await reap(node.engine, "expired");
      }
      task = (await claim(node.engine, "function", 1)).claimed[0] ?? task;
    }
    expect(await runsOf(database.sql, jobId)).toEqual(["0/1 lost", "0/2 failed", "0/3 lost", "0/4 lost"]);
    expect(await readJob(database.sql, jobId)).toMatchObject({ status: "failed", error: { code: "lost" } });
  });

  test("is not held up by one task that it cannot return", async () => {
    const broken = await begun();
    const fine = await begun();
    await database.sql`DELETE FROM jobs WHERE id = ${broken.jobId}`;
    await database.sql`UPDATE tasks SET node_id = 'gone'`;
    const reaped = await reap(node.engine, "expired");
    expect(reaped.returned).toBe(1);
    expect(reaped.faults).toHaveLength(1);
    expect(await statusesOf(database.sql, fine.jobId)).toEqual(["queued", "queued"]);
  });

  test("returns more than one batch", async () => {
    await Promise.all(Array.from({ length: 230 }, () => node.submitter.submit(jobOf())));
    while ((await claim(node.engine, "function", 100)).taken > 0);
    await database.sql`UPDATE tasks SET node_id = 'gone'`;
    expect(await reap(node.engine, "expired")).toEqual({ returned: 200, hasMore: true, faults: [] });
    expect(await reap(node.engine, "expired")).toEqual({ returned: 30, hasMore: false, faults: [] });
  });
});

async function begun(more: Partial<Submission> = {}): Promise<Claimed> {
  const { id } = await node.submitter.submit(jobOf({ priority: -1, ...more }));
  const { claimed } = await claim(node.engine, "function", 1);
  const own = claimed.find((task) => task.jobId === id);
  if (own !== undefined) return own;
  const [task] = claimed;
  if (task === undefined) throw new Error("nothing was claimed");
  return task;
}

async function leaseOf(id: string, seconds: number): Promise<void> {
  await database.sql`INSERT INTO nodes (id, boot_id, version, lease_until)
    VALUES (${id}, gen_random_uuid(), 'test', now() + make_interval(secs => ${seconds}))`;
}

async function remainingMs(id: string): Promise<number> {
  const [row] = await database.sql<{ ms: number }[]>`
    SELECT (extract(epoch FROM lease_until - now()) * 1000)::float8 AS ms FROM nodes WHERE id = ${id}`;
  return row?.ms ?? Number.NaN;
}

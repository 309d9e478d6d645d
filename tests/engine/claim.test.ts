import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import { cancel } from "../../src/engine/cancel.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { failingOn } from "../support/failing-database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { isStarted: false });
});

beforeEach(async () => {
  await database.sql`TRUNCATE jobs, tasks, runs, events`;
  await database.sql`DELETE FROM pgboss.job`;
});

afterAll(async () => {
  await node.stop();
});

describe("a claim", () => {
  test("takes the message and begins the task", async () => {
    const { id } = await node.submitter.submit(jobOf({ input: { n: 1 }, priority: 3 }));
    const { claimed, taken } = await claim(node.engine, "function", 10);
    expect(taken).toBe(1);
    expect(claimed).toHaveLength(1);
    expect(claimed[0]).toMatchObject({ jobId: id, index: 0, turn: 1, attempt: 1, priority: 3, plain: true });
    expect(claimed[0]?.inputJson).toBe('{"n":1}');
    expect(await messages()).toBe(0);
    const [row] =
      await database.sql`SELECT j.status AS job, k.status AS task, run_id, node_id FROM jobs j JOIN tasks k ON k.job_id = j.id`;
    expect(row).toEqual({
      job: "running",
      task: "running",
      run_id: claimed[0]?.runId ?? "",
      node_id: node.engine.nodeId,
    });
    expect(await kinds(id)).toEqual(["status queued", "status running"]);
  });

  test("that fails leaves message and task as they were", async () => {
    const { id } = await node.submitter.submit(jobOf());
    await using broken = await openNode(database.address, {
      isStarted: false,
      through: (db) =>
        failingOn(db, "WITH x AS (\n  SELECT * FROM json_to_recordset($1::text::json) AS x(j text, t int, n int"),
    });
    await expect(claim(broken.engine, "function", 10)).rejects.toThrow("as the test wants");
    expect(await messages()).toBe(1);
    const [row] = await database.sql`SELECT status, run_id FROM tasks WHERE job_id = ${id}`;
    expect(row).toEqual({ status: "queued", run_id: null });
    expect((await claim(node.engine, "function", 10)).claimed).toHaveLength(1);
  });

  test("lets messages of other turns, of ended and of unknown jobs vanish", async () => {
    const { id } = await node.submitter.submit(jobOf());
    const cancelled = await node.submitter.submit(jobOf());
    await cancel(node.engine, cancelled.id);
    await node.queue.put(node.db.sql, [
      { queue: "function", jobId: id, task: 0, turn: 0, priority: 1 },
      { queue: "function", jobId: id, task: 0, turn: 2, priority: 1 },
      { queue: "function", jobId: id, task: 5, turn: 1, priority: 1 },
      { queue: "function", jobId: "nobody", task: 0, turn: 1, priority: 1 },
      { queue: "function", jobId: id, task: 0, turn: 1, priority: 1 },
    ]);
    const { claimed, taken } = await claim(node.engine, "function", 10);
    expect(taken).toBe(7);
    expect(claimed.map((task) => task.jobId)).toEqual([id]);
    expect(await messages()).toBe(0);
    expect(await kinds(cancelled.id)).toEqual(["status queued", "status cancelled", "completed"]);
  });

  test("takes no more than it is asked for, and only of its queue", async () => {
    for (const runner of ["function", "script", "function", "function"] as const)
      await node.submitter.submit(jobOf({ tasks: [taskOf("echo", { runner })] }));
    expect((await claim(node.engine, "function", 2)).taken).toBe(2);
    expect((await claim(node.engine, "function", 2)).taken).toBe(1);
    expect((await claim(node.engine, "script", 2)).taken).toBe(1);
    expect((await claim(node.engine, "automation", 2)).taken).toBe(0);
  });

  test("does not take what is delayed before its time", async () => {
    await node.submitter.submit(jobOf({ runAt: new Date(Date.now() + 60_000) }));
    const soon = await node.submitter.submit(jobOf({ runAt: new Date(Date.now() - 1_000) }));
    expect((await claim(node.engine, "function", 5)).claimed.map((task) => task.jobId)).toEqual([soon.id]);
  });
});

test("1,000 jobs of mixed priorities come by priority, then in the order they came", async () => {
  const priorities = Array.from(
    { length: 1_000 },
    (_, at) => [5, -3, 100, 1, 0, 2_000_000][(at * 7 + (at >> 3)) % 6] ?? 0,
  );
  const receipts = await Promise.all(priorities.map((priority) => node.submitter.submit(jobOf({ priority }))));
  const expected = receipts
    .map(({ id }, at) => ({ id, at, priority: priorities[at] ?? 0 }))
    .toSorted((a, b) => a.priority - b.priority || a.at - b.at)
    .map(({ id }) => id);
  const order: string[] = [];
  for (
    let batch = await claim(node.engine, "function", 37);
    batch.taken > 0;
    batch = await claim(node.engine, "function", 37)
  )
    order.push(...batch.claimed.map((task) => task.jobId));
  expect(order).toEqual(expected);
});

test("jobs of one group are told apart in the queue's index, wherever their rows lie", async () => {
  const receipts = await node.submitter.submitTogether(Array.from({ length: 400 }, () => jobOf()));
  const rows = await database.sql<{ id: string; due: string }[]>`
    SELECT data->>'j' AS id, start_after::text AS due FROM pgboss.job ORDER BY priority DESC, created_on, start_after`;
  expect(rows.map((row) => row.id)).toEqual(receipts.map((receipt) => receipt.id));
  expect(new Set(rows.map((row) => row.due)).size).toBe(400);
  expect((await claim(node.engine, "function", 400)).taken).toBe(400);
});

test("claimers on two nodes never get the same task", async () => {
  await using other = await openNode(database.address, { isStarted: false });
  await Promise.all(Array.from({ length: 1_000 }, () => node.submitter.submit(jobOf())));
  const all: Claimed[] = [];
  const drain = async (claimer: TestNode, most: number) => {
    for (
      let batch = await claim(claimer.engine, "function", most);
      ;
      batch = await claim(claimer.engine, "function", most)
    ) {
      all.push(...batch.claimed);
      if (batch.taken === 0 && (await messages()) === 0) return;
    }
  };
  await Promise.all([drain(node, 7), drain(node, 11), drain(other, 13), drain(other, 29)]);
  expect(all).toHaveLength(1_000);
  expect(new Set(all.map((task) => task.jobId)).size).toBe(1_000);
  expect(new Set(all.map((task) => task.runId)).size).toBe(1_000);
});

async function messages(): Promise<number> {
  const [row] = await database.sql<{ count: number }[]>`SELECT count(*)::int AS count FROM pgboss.job`;
  return row?.count ?? -1;
}

async function kinds(id: string): Promise<string[]> {
  const rows = await database.sql<{ kind: string }[]>`
    SELECT concat_ws(' ', l->>'k', CASE WHEN l->>'k' = 'status' THEN l->'d'->>'status' END) AS kind
    FROM events e, json_array_elements(e.lines) WITH ORDINALITY AS x(l, n) WHERE job_id = ${id} ORDER BY seq, n`;
  return rows.map((row) => row.kind);
}

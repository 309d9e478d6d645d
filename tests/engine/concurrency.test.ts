import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { cancel } from "../../src/engine/cancel.ts";
import { stuckKeys } from "../../src/engine/concurrency.ts";
import { reap, unpark } from "../../src/engine/reap.ts";
import { retry } from "../../src/engine/requeue.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

let database: TestDatabase;
let node: TestNode;
let other: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { slots: 20 });
  other = await openNode(database.address, { slots: 20 });
});

afterAll(async () => {
  await Promise.all([node.stop(), other.stop()]);
});

let key: string;
beforeEach(() => {
  key = crypto.randomUUID();
});

describe("a concurrency key", () => {
  test("is a hard limit over two nodes under load, and every job runs", async () => {
    let running = 0;
    let most = 0;
    for (const { runner } of [node, other])
      runner.on("counted", async () => {
        most = Math.max(most, ++running);
        await Bun.sleep(Math.random() * 5);
        running--;
        return { kind: "succeeded", output: null };
      });
    const concurrency = { key, max: 3 };
    const submissions = Array.from({ length: 100 }, (_, at) =>
      (at % 2 === 0 ? node : other).submitter.submit(jobOf({ target: "counted", concurrency, priority: at % 3 })),
    );
    const unkeyed = Array.from({ length: 50 }, () => node.submitter.submit(jobOf()));
    const ids = (await Promise.all([...submissions, ...unkeyed])).map((receipt) => receipt.id);
    await until("all have succeeded", () => allAre(ids, "succeeded"), { withinMs: 30_000 });
    expect(most).toBe(3);
  });

  test("parks what is too much, without a message, and wakes the most urgent first", async () => {
    const first = await running(1);
    const waiting = [];
    for (const priority of [5, 1, 3]) waiting.push(await submit("hold", 1, priority));
    await until("all are parked", async () => (await parked()) === 3);
    expect(await database.sql`SELECT 1 FROM pgboss.job WHERE data->'c'->>'key' = ${key}`).toHaveLength(0);
    letGo(first);
    for (const at of [1, 2, 0]) {
      const id = waiting[at] ?? "";
      await until(`job ${at} runs`, () => isHeld(id));
      expect(await parked()).toBe([2, 1, 0][[1, 2, 0].indexOf(at)] ?? -1);
      letGo(id);
    }
  });

  for (const [how, end] of [
    ["is cancelled while it runs", (id: string) => cancel(node.engine, id)],
    ["fails", async (id: string) => letGo(id, true)],
  ] as const)
    test(`is free when the job that had it ${how}`, async () => {
      const first = await running(1);
      const second = await submit("hold", 1);
      await until("it is parked", async () => (await parked()) === 1);
      await end(first);
      await until("the second one runs", () => isHeld(second), { withinMs: 5_000 });
      letGo(second);
    });

  test("is free when the job that had it is lost", async () => {
    const lost = await running(1);
    const second = await submit("hold", 1, 0);
    await until("it is parked", async () => (await parked()) === 1);
    await database.sql`UPDATE tasks SET node_id = 'gone' WHERE job_id = ${lost}`;
    expect((await reap(node.engine, "expired")).returned).toBe(1);
    await until("the more urgent one runs", () => isHeld(second), { withinMs: 5_000 });
    await until("the lost one waits for it", async () => (await parked()) === 1);
    letGo(lost);
    expect(await statusesOf(database.sql, lost)).toEqual(["queued", "queued"]);
    letGo(second);
    await until("the lost one runs again", () => isHeld(lost), { withinMs: 5_000 });
    letGo(lost);
  });

  test("is free when the job that had it is interrupted", async () => {
    const first = await running(1);
    const second = await submit("hold", 1, 0);
    await until("it is parked", async () => (await parked()) === 1);
    for (const { worker } of [node, other]) worker.stop(first, "interrupted");
    await until("the more urgent one runs", () => isHeld(second), { withinMs: 5_000 });
    letGo(second);
    await until("the first one runs again", () => isHeld(first), { withinMs: 5_000 });
    letGo(first);
  });

  test("is not held by a cancelled job that waited for it", async () => {
    const first = await running(1);
    const second = await submit("hold", 1);
    const third = await submit("hold", 1);
    await until("two are parked", async () => (await parked()) === 2);
    expect(await cancel(node.engine, second)).toBe("cancelled");
    letGo(first);
    await until("the third one runs", () => isHeld(third), { withinMs: 5_000 });
    letGo(third);
    await retry(node.engine, second);
    await until("the retried one runs", () => isHeld(second), { withinMs: 5_000 });
    letGo(second);
  });

  test("is kept over the links of a chain", async () => {
    const tasks = [taskOf("hold"), taskOf("hold")];
    const { id } = await node.submitter.submit(jobOf({ tasks, concurrency: { key, max: 1 } }));
    await until("its first link runs", () => isHeld(id));
    const second = await submit("hold", 1);
    await until("it is parked", async () => (await parked()) === 1);
    letGo(id);
    await until("its second link runs", () => isHeld(id));
    expect(isHeld(second)).toBe(false);
    letGo(id);
    await until("the second one runs", () => isHeld(second));
    letGo(second);
  });

  test("gives no place to a stale message", async () => {
    await node.queue.put(node.db.sql, [
      { queue: "function", jobId: "nobody", task: 0, turn: 1, priority: 0, concurrency: { key, max: 1 } },
      { queue: "function", jobId: "nobody", task: 0, turn: 1, priority: 0, concurrency: { key, max: 1 } },
    ]);
    const id = await submit("echo", 1);
    await until("it runs", async () => (await statusesOf(database.sql, id))[0] === "succeeded", { withinMs: 3_000 });
  });

  test("whose waker died is found again", async () => {
    const first = await running(1);
    const second = await submit("hold", 1);
    await until("it is parked", async () => (await parked()) === 1);
    expect(await stuckKeys(node.db.hot)).toEqual([]);
    await database.sql`UPDATE jobs SET status = 'failed', finished_at = now() WHERE id = ${first}`;
    expect(await stuckKeys(node.db.hot)).toEqual([{ key, max: 1 }]);
    await unpark(node.engine);
    await until("it runs", () => isHeld(second), { withinMs: 5_000 });
    letGo(first);
    letGo(second);
  });
});

test("cancels and claims of one key under load end without a deadlock", async () => {
  const before = await deadlocks();
  for (const { runner } of [node, other])
    runner.on("brief", async () => {
      await Bun.sleep(Math.random() * 2);
      return { kind: "succeeded", output: null };
    });
  const concurrency = { key, max: 2 };
  const ids = await Promise.all(
    Array.from({ length: 120 }, async (_, at) => {
      const here = at % 2 === 0 ? node : other;
      const { id } = await here.submitter.submit(jobOf({ target: "brief", concurrency }));
      if (at % 3 === 0) await cancel((at % 4 === 0 ? node : other).engine, id);
      return id;
    }),
  );
  await until(
    "all are final",
    async () => {
      const rows = await database.sql`SELECT 1 FROM jobs WHERE id = ANY(${ids}) AND finished_at IS NULL`;
      return rows.length === 0;
    },
    { withinMs: 30_000 },
  );
  expect(await deadlocks()).toBe(before);
});

async function submit(target: string, max: number, priority = 1): Promise<string> {
  return (await node.submitter.submit(jobOf({ target, priority, concurrency: { key, max } }))).id;
}

async function running(max: number): Promise<string> {
  const id = await submit("hold", max);
  await until("the first one runs", () => isHeld(id));
  return id;
}

function isHeld(id: string): boolean {
  return node.runner.isHolding(id) || other.runner.isHolding(id);
}

function letGo(id: string, fails = false): void {
  const { runner } = node.runner.isHolding(id) ? node : other;
  runner.letGo(
    id,
    fails ? { kind: "failed", error: { code: "function_error", message: "no" } } : { kind: "succeeded", output: null },
  );
}

async function parked(): Promise<number> {
  const rows = await database.sql`
    SELECT 1 FROM tasks k JOIN jobs j ON j.id = k.job_id WHERE j.concurrency_key = ${key} AND k.parked AND k.status = 'queued'`;
  return rows.length;
}

async function allAre(ids: string[], status: string): Promise<boolean> {
  const rows = await database.sql`SELECT 1 FROM jobs WHERE id = ANY(${ids}) AND status = ${status}`;
  return rows.length === ids.length;
}

async function deadlocks(): Promise<number> {
  await database.sql`SELECT pg_stat_force_next_flush()`;
  const [row] = await database.sql<{ deadlocks: number }[]>`
    SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
  return row?.deadlocks ?? -1;
}

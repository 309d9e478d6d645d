import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { cancel } from "../../src/engine/cancel.ts";
import { pauseQueue, resumeQueue } from "../../src/engine/controls.ts";
import { needQueue } from "../../src/engine/needs.ts";
import { pruneNeeds } from "../../src/engine/need-book.ts";
import { readQueues } from "../../src/engine/overview.ts";
import { readJob } from "../../src/engine/read.ts";
import { reap } from "../../src/engine/reap.ts";
import { release, retry } from "../../src/engine/requeue.ts";
import { readWaiting } from "../../src/engine/waiting.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

const gpu = { tags: ["gpu"] };
const quick = { renewEveryMs: 200 };

let database: TestDatabase;
/** Without anything particular, where everything is submitted. */
let plain: TestNode;
/** In Amsterdam, with a tag and a function that the other does not have. */
let rich: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  plain = await openNode(database.address, { nodeId: "plain", functions: ["echo", "hold", "twice"], lease: quick });
  rich = await openNode(database.address, {
    nodeId: "rich",
    functions: ["echo", "hold", "twice", "only"],
    region: "ams",
    tags: ["gpu", "big"],
    lease: quick,
  });
  for (const { runner } of [plain, rich]) {
    runner.on("only", () => ({ kind: "succeeded", output: "ran" }));
    runner.on("twice", ({ request }) =>
      request.attempt === 1 ? { kind: "failed", error: { code: "function_error", message: "once" } } : done,
    );
  }
  await until("both know of each other", () => plain.engine.view.hasPeers && rich.engine.view.hasPeers);
});

afterAll(async () => {
  await Promise.all([plain.stop(), rich.stop()]);
});

beforeEach(() => {
  for (const { runner } of [plain, rich]) runner.started.length = 0;
});

const done = { kind: "succeeded", output: null } as const;

describe("a job that asks for a tag or a region", () => {
  for (const requires of [gpu, { region: "ams" }, { region: "ams", tags: ["big", "gpu"] }])
    test(`${JSON.stringify(requires)} runs on the node that is that, and there alone`, async () => {
      const ids = await submitMany(8, requires);
      for (const id of ids) await becomes(id, "succeeded");
      expect(plain.runner.started).toEqual([]);
      expect(new Set(rich.runner.started.map(({ jobId }) => jobId))).toEqual(new Set(ids));
      expect(await runsOf(database.sql, ids[0] ?? "")).toEqual(["0/1 succeeded"]);
      expect(await historyOf(database.sql, ids[0] ?? "")).toEqual([
        ...["status queued", "status running", "status succeeded", "result", "completed succeeded"],
      ]);
    });

  test("takes the fast lane where the node is that", async () => {
    const since = await countPut();
    const { id } = await rich.submitter.submit(asking(gpu, "echo"));
    expect((await statusesOf(database.sql, id))[1]).not.toBe("queued");
    await becomes(id, "succeeded");
    expect(await countPut()).toBe(since);
  });

  test("comes back to that node for its second attempt", async () => {
    const { id } = await plain.submitter.submit(
      jobOf({ tasks: [taskOf("twice", { requires: gpu, maxAttempts: 2, backoffS: 0 })] }),
    );
    await becomes(id, "succeeded");
    expect(await runsOf(database.sql, id)).toEqual(["0/1 failed", "0/2 succeeded"]);
    expect(plain.runner.started).toEqual([]);
  });

  test("comes back there when its node vanished, and when it is retried", async () => {
    const { id } = await plain.submitter.submit(asking(gpu, "hold"));
    await until("it is held", () => rich.runner.isHolding(id));
    await database.sql`UPDATE tasks SET node_id = 'gone' WHERE job_id = ${id}`;
    expect((await reap(plain.engine, "expired")).returned).toBe(1);
    await until("it runs again", () => rich.runner.started.filter(({ jobId }) => jobId === id).length === 2);
    await until("it is held again", () => rich.runner.isHolding(id));
    rich.runner.letGo(id);
    await becomes(id, "succeeded");
    await retry(plain.engine, id);
    await until("it is held once more", () => rich.runner.isHolding(id));
    rich.runner.letGo(id);
    await becomes(id, "succeeded");
    expect(plain.runner.started).toEqual([]);
  });

  test("goes there when it is released, when its time has come, and when its key is free", async () => {
    const held = await plain.submitter.submit({ ...asking(gpu, "echo"), held: true });
    const late = await plain.submitter.submit({ ...asking(gpu, "echo"), runAt: new Date(Date.now() + 300) });
    const concurrency = { key: "one", max: 1 };
    const first = await plain.submitter.submit({ ...asking(gpu, "hold"), concurrency });
    const second = await plain.submitter.submit({ ...asking(gpu, "echo"), concurrency });
    await until("the first has the key", () => rich.runner.isHolding(first.id));
    await until("the second waits for it", async () => (await reasonOf(second.id)) === "concurrency key full");
    await release(plain.engine, held.id);
    rich.runner.letGo(first.id);
    for (const { id } of [held, late, first, second]) await becomes(id, "succeeded");
    expect(plain.runner.started).toEqual([]);
  });

  test("may be a link of a chain; the others run anywhere", async () => {
    const tasks = [taskOf("echo"), taskOf("echo", { requires: gpu }), taskOf("echo")];
    const { id } = await plain.submitter.submit(jobOf({ tasks, input: { n: 1 } }));
    await becomes(id, "succeeded");
    expect(rich.runner.started.some(({ taskIndex }) => taskIndex === 1)).toBe(true);
    expect(plain.runner.started.some(({ taskIndex }) => taskIndex === 1)).toBe(false);
  });

  test("waits while its runner's queue is paused, is counted there, and can be cancelled", async () => {
    await pauseQueue(plain.engine, "function", "test");
    await until("both know", () => [plain, rich].every(({ engine }) => engine.view.paused.has("function")));
    const [id = "", other = ""] = await submitMany(2, gpu);
    expect(await reasonOf(id)).toBe("paused");
    expect((await readQueues(database.sql)).find(({ name }) => name === "function")?.backlog).toBe(2);
    expect(await cancel(plain.engine, other)).toBe("cancelled");
    await resumeQueue(plain.engine, "function");
    await becomes(id, "succeeded");
  });

  test("waits with what is missing where no living node is that", async () => {
    const reasons: [{ region?: string; tags?: string[] }, string][] = [
      [{ tags: ["quantum"] }, "no node with tag quantum"],
      [{ tags: ["gpu", "quantum", "tiny"] }, "no node with tags quantum, tiny"],
      [{ region: "fra" }, "no node in region fra"],
      [{ region: "fra", tags: ["quantum"] }, "no node in region fra, no node with tag quantum"],
    ];
    for (const [requires, reason] of reasons) {
      const { id } = await plain.submitter.submit(asking(requires, "echo"));
      expect(await reasonOf(id)).toBe(reason);
      await cancel(plain.engine, id);
    }
    const split = await openNode(database.address, { region: "fra", functions: ["echo"] });
    const { id } = await plain.submitter.submit(asking({ region: "fra", tags: ["gpu"] }, "echo"));
    expect(await reasonOf(id)).toBe("no node in region fra with function echo and tag gpu");
    await cancel(plain.engine, id);
    await split.stop();
  });

  test("is passed on where an older version of this program has put it", async () => {
    const { id } = await plain.submitter.submit({ ...asking(gpu, "echo"), held: true });
    await database.sql`UPDATE tasks SET need = NULL, queued_at = now() WHERE job_id = ${id}`;
    await database.sql`UPDATE jobs SET held = false WHERE id = ${id}`;
    await whileFull(rich, async () => {
      await plain.queue.put(database.sql, [{ queue: "function", jobId: id, task: 0, turn: 1, priority: 1 }]);
      plain.worker.wake("function");
      await until(
        "it is in line",
        async () => (await messagesIn(needQueue({ runner: "function", target: null, requires: gpu }))) === 1,
      );
      expect(await historyOf(database.sql, id)).toEqual(["status queued"]);
    });
    await becomes(id, "succeeded");
    expect(plain.runner.started).toEqual([]);
  });

  test("begins as soon as such a node comes", async () => {
    const { id } = await plain.submitter.submit(asking({ tags: ["late"] }, "echo"));
    await until("it waits", async () => (await reasonOf(id)) === "no node with tag late");
    await using _late = await openNode(database.address, { tags: ["late"], functions: ["echo"] });
    await becomes(id, "succeeded");
  });
});

describe("work of a target that only one node knows", () => {
  test("is passed on to it by whoever claims it, as if it had never been claimed", async () => {
    const submitter = await openNode(database.address, { isStarted: false });
    await whileFull(rich, async () => {
      const { id } = await submitter.submitter.submit(jobOf({ target: "only" }));
      const queue = needQueue({ runner: "function", target: "only", requires: null });
      await until("it has been passed on", async () => (await messagesIn(queue)) === 1);
      expect(await statusesOf(database.sql, id)).toEqual(["queued", "queued"]);
      expect(await historyOf(database.sql, id)).toEqual(["status queued"]);
      const job = await readJob(database.sql, id);
      expect(job).toMatchObject({ attempts: 0, started_at: null });
      rich.runner.letGo(filler.shift() ?? "");
      await becomes(id, "succeeded");
      expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
      expect((await readJob(database.sql, id))?.attempts).toBe(1);
    });
    await submitter.stop();
  });

  test("comes in the order of its priority among all that its node may run", async () => {
    await whileFull(rich, async () => {
      const started: string[] = [];
      plain.worker.pause();
      const jobs = [
        asking(gpu, "echo", 5),
        jobOf({ target: "echo", priority: 3 }),
        asking({ region: "ams" }, "echo", 1),
        jobOf({ target: "echo", priority: 2 }),
        asking(gpu, "echo", 4),
      ];
      const ids: string[] = [];
      for (const job of jobs) ids.push((await plain.submitter.submit(job)).id);
      rich.runner.letGo(filler.shift() ?? "");
      for (const id of ids) await becomes(id, "succeeded");
      plain.worker.resume();
      started.push(...rich.runner.started.map(({ jobId }) => jobId).filter((id) => ids.includes(id)));
      expect(started).toEqual([2, 3, 1, 4, 0].map((at) => ids[at] ?? ""));
    });
  });

  test("that no living node knows runs where it is claimed, and fails there", async () => {
    const { id } = await plain.submitter.submit(jobOf({ target: "nobody's" }));
    await becomes(id, "failed");
    expect(await runsOf(database.sql, id)).toEqual(["0/1 failed"]);
  });
});

describe("a need", () => {
  test("is forgotten with its queue once it is unused, and comes back when it is asked for", async () => {
    const requires = { tags: ["gpu", "big"] };
    const queue = needQueue({ runner: "function", target: null, requires });
    const [id = ""] = await submitMany(1, requires);
    await becomes(id, "succeeded");
    const waiting = await plain.submitter.submit(asking({ tags: ["gpu", "away"] }, "echo"));
    await database.sql`UPDATE needs SET used_at = now() - interval '2 hours'`;
    expect(await pruneNeeds(database.sql, plain.queue)).toBeGreaterThan(0);
    const left = await database.sql<{ queue: string }[]>`SELECT queue FROM needs`;
    expect(left.map((row) => row.queue)).toEqual([
      needQueue({ runner: "function", target: null, requires: { tags: ["away", "gpu"] } }),
    ]);
    expect(await database.sql`SELECT 1 FROM pgboss.queue WHERE name = ${queue}`).toHaveLength(0);
    await cancel(plain.engine, waiting.id);
    await using fresh = await openNode(database.address, { nodeId: "fresh", functions: ["echo"] });
    const again = await fresh.submitter.submit(asking(requires, "echo"));
    await becomes(again.id, "succeeded");
    await retry(fresh.engine, id);
    await becomes(id, "succeeded");
  });

  test("that is one too many leaves work that is passed on in the common queue, for later", async () => {
    await whileFull(rich, async () => {
      plain.worker.pause();
      await database.sql`DELETE FROM needs WHERE target = 'only'`;
      await database.sql`INSERT INTO needs (queue, runner) SELECT 'function/filler-' || n, 'function' FROM generate_series(1, 500) n`;
      await using fresh = await openNode(database.address, { nodeId: "fresh", functions: ["echo"] });
      const { id } = await rich.submitter.submit(jobOf({ target: "only" }));
      const isDelayed = async () =>
        (
          await database.sql`SELECT 1 FROM pgboss.job WHERE name = 'function' AND data->>'j' = ${id} AND start_after > now()`
        ).length === 1;
      await until("it comes by again later", isDelayed);
      expect(fresh.runner.started).toEqual([]);
      expect(await historyOf(database.sql, id)).toEqual(["status queued"]);
      await database.sql`DELETE FROM needs WHERE queue LIKE 'function/filler-%'`;
      await cancel(plain.engine, id);
      plain.worker.resume();
    });
  });

  test("too many, of different kinds, are refused", async () => {
    await database.sql`INSERT INTO needs (queue, runner) SELECT 'function/filler-' || n, 'function' FROM generate_series(1, 500) n`;
    await expect(plain.submitter.submit(asking({ tags: ["one more"] }, "echo"))).rejects.toThrow(
      "different requirements",
    );
    await database.sql`DELETE FROM needs WHERE queue LIKE 'function/filler-%'`;
    const { id } = await plain.submitter.submit(asking({ tags: ["one more"] }, "echo"));
    await cancel(plain.engine, id);
  });

  test("that are too many together are refused together", async () => {
    const several = Array.from({ length: 501 }, (_, n) => asking({ tags: [`kind ${n}`] }, "echo"));
    await expect(plain.submitter.submitTogether(several)).rejects.toThrow("different requirements");
    expect(await database.sql`SELECT 1 FROM needs WHERE requires->'tags'->>0 LIKE 'kind %'`).toHaveLength(0);
  });
});

const filler: string[] = [];

/** With every slot of the node taken by jobs that are named in `filler`. */
async function whileFull(node: TestNode, work: () => Promise<void>): Promise<void> {
  filler.splice(0);
  for (let n = 0; n < 4; n++) filler.push((await node.submitter.submit({ ...asking(gpu, "hold"), priority: -10 })).id);
  await until("every slot is taken", () => filler.every((id) => node.runner.isHolding(id)));
  node.runner.started.length = 0;
  await work();
  for (const id of filler) node.runner.letGo(id);
}

function asking(requires: { region?: string; tags?: string[] }, target: string, priority = 1) {
  return jobOf({ tasks: [taskOf(target, { requires })], priority });
}

async function submitMany(count: number, requires: { region?: string; tags?: string[] }): Promise<string[]> {
  const receipts = await Promise.all(
    Array.from({ length: count }, () => plain.submitter.submit(asking(requires, "echo"))),
  );
  return receipts.map(({ id }) => id);
}

async function reasonOf(id: string): Promise<string | undefined> {
  return (await readWaiting(database.sql, [id], { aheadMax: 10 })).get(id)?.reason;
}

async function messagesIn(queue: string): Promise<number> {
  return (await database.sql`SELECT 1 FROM pgboss.job WHERE name = ${queue}`).length;
}

async function countPut(): Promise<number> {
  const [row] = await database.sql<
    { count: number }[]
  >`SELECT count(*)::int AS count FROM tasks WHERE started_at > queued_at`;
  return row?.count ?? 0;
}

async function becomes(id: string, status: string): Promise<void> {
  const isSo = async () => (await statusesOf(database.sql, id))[0] === status;
  await until(`job ${id} is ${status}`, isSo, { withinMs: 30_000 });
}

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { JobFeed } from "../../src/engine/feed.ts";
import type { JobEvent } from "../../src/engine/hub.ts";
import { readJob } from "../../src/engine/read.ts";
import { EngineError } from "../../src/errors.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { openDatabaseProxy } from "../support/database-proxy.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { gapsOf, historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import type { ScriptedRun } from "../support/scripted-runner.ts";
import { until } from "../support/until.ts";

const lease = { leaseMs: 20_000, renewEveryMs: 200, giveUpAfterMs: 15_000 };

let database: TestDatabase;

beforeAll(async () => {
  database = await testDatabase();
});

afterAll(async () => {
  await database.drop();
});

describe("a database that is lost and comes back", () => {
  test("finds every result of what ran meanwhile, and goes on", async () => {
    await using proxy = await openDatabaseProxy(database.address);
    await using node = await openNode(proxy.address, { slots: 10, lease });
    const ids = await running(node, 10);
    const run = talker(node);
    const talking = (await node.submitter.submit(jobOf({ tasks: [taskOf(run.target, { runner: "script" })] }))).id;
    const { sink } = await run.begun;
    sink.log("info", "before");
    await until("the log is written", async () => (await historyOf(database.sql, talking)).includes("log"));
    proxy.cut();
    for (const id of ids) node.runner.letGo(id, { kind: "succeeded", output: id });
    for (let n = 0; n < 50; n++) sink.log("info", `during ${n}`);
    sink.output("stdout", "loud");
    run.end();
    const refused = await node.submitter.submit(jobOf()).catch((fault: unknown) => fault);
    expect(refused).toBeInstanceOf(EngineError);
    expect((refused as EngineError).code).toBe("unavailable");
    expect((refused as EngineError).options.retryAfterSeconds).toBeGreaterThan(0);
    await Bun.sleep(1_200);
    for (const id of ids) expect(await statusesOf(database.sql, id)).toEqual(["running", "running"]);
    await proxy.restore();
    for (const id of [...ids, talking]) await becomes(id, "succeeded");
    for (const id of ids) {
      expect((await readJob(database.sql, id))?.result).toBe(id);
      expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
    }
    const history = await historyOf(database.sql, talking);
    expect(history.filter((line) => line === "log")).toHaveLength(51);
    expect(history.filter((line) => line === "output")).toHaveLength(1);
    expect(await gapsOf(database.sql, talking)).toEqual([]);
    const { id } = await node.submitter.submit(jobOf({ runAt: new Date() }));
    await becomes(id, "succeeded");
    expect(node.worker.slots().function?.used).toBe(0);
  });

  test("is listened to again, and feeds and waiters go on", async () => {
    await using proxy = await openDatabaseProxy(database.address);
    await using node = await openNode(proxy.address, { slots: 0, lease });
    await using other = await openNode(database.address);
    const [id = ""] = await running(other, 1);
    const feed = new JobFeed(node.engine, id, 0);
    const events: JobEvent[] = [...((await feed.next()) ?? [])];
    proxy.cut();
    await Bun.sleep(700);
    await proxy.restore();
    await until("it listens again", async () => {
      const rows =
        await database.sql`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%'`;
      return rows.length >= 2;
    });
    other.runner.letGo(id);
    for (let page = await feed.next(); page !== null; page = await feed.next()) events.push(...page);
    feed.close();
    expect(events.map((event) => event.seq)).toEqual(events.map((_, at) => at + 1));
    expect(events.at(-1)?.kind).toBe("completed");
  });

  test("after all its sessions were ended at any moment has lost nothing", async () => {
    await using node = await openNode(database.address, { slots: 20, lease });
    node.runner.on("brief", async () => {
      await Bun.sleep(Math.random() * 10);
      return { kind: "succeeded", output: "brief" };
    });
    const accepted: string[] = [];
    const deadline = performance.now() + 2_500;
    const submitting = Array.from({ length: 8 }, async (_, at) => {
      for (let n = 0; performance.now() < deadline; n++) {
        const tasks = at % 2 === 0 ? [taskOf("brief")] : [taskOf("brief"), taskOf("brief")];
        const receipt = await node.submitter.submit(jobOf({ tasks, priority: n % 2 })).catch(() => null);
        if (receipt !== null) accepted.push(receipt.id);
        else await Bun.sleep(20);
      }
    });
    const ending = (async () => {
      while (performance.now() < deadline) {
        await Bun.sleep(150 + Math.random() * 150);
        await database.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'fairlead' AND random() < 0.7`;
      }
    })();
    await Promise.all([...submitting, ending]);
    expect(accepted.length).toBeGreaterThan(100);
    await until(
      "all accepted jobs are final",
      async () => {
        const rows = await database.sql`SELECT 1 FROM jobs WHERE id = ANY(${accepted}) AND finished_at IS NULL`;
        return rows.length === 0;
      },
      { withinMs: 30_000, everyMs: 50 },
    );
    const statuses = await database.sql<{ status: string; error: string; count: number }[]>`
      SELECT j.status, k.error->>'message' AS error, count(*)::int AS count FROM jobs j JOIN tasks k ON k.job_id = j.id WHERE j.id = ANY(${accepted}) GROUP BY 1, 2`;
    expect(statuses.map((row) => [row.status, row.error])).toEqual([["succeeded", null as unknown as string]]);
    for (const id of accepted.slice(0, 50)) expect(await gapsOf(database.sql, id)).toEqual([]);
    await until(
      "what was begun without an answer is returned too",
      async () => {
        const rows =
          await database.sql`SELECT 1 FROM tasks WHERE status IN ('running', 'queued') AND node_id = ${node.engine.nodeId}`;
        return rows.length === 0;
      },
      { withinMs: 20_000, everyMs: 50 },
    );
    await until("every slot is free", () => node.worker.slots().function?.used === 0);
  });
});

test("a commit whose answer is lost is no job that runs for ever", async () => {
  await using proxy = await openDatabaseProxy(database.address);
  // On one connection, the statement has been prepared when answers are lost: preparing it needs one.
  await using node = await openNode(proxy.address, { slots: 4, lease, connectionsMax: 1 });
  const [id] = await running(node, 1);
  node.runner.letGo(id ?? "");
  await becomes(id ?? "", "succeeded");
  const lost = crypto.randomUUID();
  proxy.swallow(true);
  const submitting = node.submitter.submit(jobOf({ id: lost })).catch(() => null);
  await until("it is written", async () => (await statusesOf(database.sql, lost)).length > 0);
  expect(await statusesOf(database.sql, lost)).toEqual(["running", "running"]);
  proxy.cut();
  expect(await submitting).toBeNull();
  proxy.swallow(false);
  await proxy.restore();
  await becomes(lost, "succeeded");
  expect(await runsOf(database.sql, lost)).toEqual(["0/1 lost", "0/2 succeeded"]);
  expect(node.worker.slots().function?.used).toBe(0);
});

test("a result that the database refuses does not leave its task running", async () => {
  await using node = await openNode(database.address, { lease });
  node.runner.on("half", () => ({ kind: "succeeded", output: null, outputJson: '{"half":' }));
  for (const webhook of [undefined, { url: "http://x", events: ["completed"], kind: "test" }]) {
    const { id } = await node.submitter.submit(jobOf({ target: "half", ...(webhook ? { webhook } : {}) }));
    await becomes(id, "failed");
    expect((await readJob(database.sql, id))?.error).toEqual({
      code: "runner_error",
      message: "The result could not be stored",
    });
  }
  expect(node.log.lines().some((line) => line.includes("could not be recorded"))).toBe(true);
});

test("a database without room keeps results waiting until there is some", async () => {
  let isFull = false;
  await using node = await openNode(database.address, {
    lease,
    through: (db) => ({
      ...db,
      hot: new Proxy(db.hot, {
        get(target, name, receiver) {
          const value: unknown = Reflect.get(target, name, receiver);
          if (!isFull || (name !== "unsafe" && name !== "begin")) return value;
          return () =>
            Promise.reject(
              Object.assign(new Error("could not extend file: No space left on device"), { code: "53100" }),
            );
        },
      }),
    }),
  });
  const [plain = ""] = await running(node, 1);
  isFull = true;
  node.runner.letGo(plain, { kind: "succeeded", output: "kept" });
  await until("the log says so", () => node.log.lines().some((line) => line.includes("No space left")));
  expect(await statusesOf(database.sql, plain)).toEqual(["running", "running"]);
  isFull = false;
  await becomes(plain, "succeeded");
  expect((await readJob(database.sql, plain))?.result).toBe("kept");
});

async function running(node: TestNode, count: number): Promise<string[]> {
  const receipts = await Promise.all(
    Array.from({ length: count }, () => node.submitter.submit(jobOf({ target: "hold" }))),
  );
  const ids = receipts.map((receipt) => receipt.id);
  await until("all run", () => ids.every((id) => node.runner.isHolding(id)));
  return ids;
}

function talker(node: TestNode) {
  const target = crypto.randomUUID();
  const begun = Promise.withResolvers<ScriptedRun>();
  const ending = Promise.withResolvers<void>();
  node.runners.script.on(target, async (run) => {
    begun.resolve(run);
    await ending.promise;
    return { kind: "succeeded", output: "talked" };
  });
  return { target, begun: begun.promise, end: () => ending.resolve() };
}

async function becomes(id: string, status: string): Promise<void> {
  await until(`job ${id} is ${status}`, async () => (await statusesOf(database.sql, id))[0] === status);
}

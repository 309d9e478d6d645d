import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Database, Sql } from "../../src/db/client.ts";
import { readJob } from "../../src/engine/read.ts";
import type { StopReason } from "../../src/runners/contract.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { runsOf, statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

const quick = { leaseMs: 1_500, renewEveryMs: 100, giveUpAfterMs: 800 };

let database: TestDatabase;

beforeAll(async () => {
  database = await testDatabase();
});

afterEach(async () => {
  await database.sql`TRUNCATE jobs, tasks, runs, events, nodes, pauses`;
  await database.sql`DELETE FROM pgboss.job`;
});

describe("a node", () => {
  test("that starts returns what an earlier process of its name left running", async () => {
    const ids = await leftBehind("web-1", 250);
    await using node = await openNode(database.address, { nodeId: "web-1", slots: 50 });
    for (const id of ids) await becomes(id, "succeeded");
    expect(await runsOf(database.sql, ids[0] ?? "")).toEqual(["0/1 lost", "0/2 succeeded"]);
    expect(node.log.lines().some((line) => line.includes("an earlier process"))).toBe(true);
  });

  test("takes over from one whose lease ran out", async () => {
    await using node = await openNode(database.address, { lease: quick });
    const ids = await leftBehind("gone", 3);
    await database.sql`UPDATE nodes SET lease_until = now() + interval '300 milliseconds' WHERE id = 'gone'`;
    for (const id of ids) await becomes(id, "succeeded");
    expect(node.log.lines().some((line) => line.includes("vanished nodes"))).toBe(true);
  });

  test("takes over at once from one that has resigned", async () => {
    await using _heir = await openNode(database.address);
    const other = await openNode(database.address, { nodeId: "leaving" });
    const ids = await leftBehind("gone", 1, "leaving");
    await other.stop();
    const since = performance.now();
    for (const id of ids) await becomes(id, "succeeded");
    expect(performance.now() - since).toBeLessThan(1_500);
  });

  test("knows of a peer as soon as it comes", async () => {
    await using node = await openNode(database.address);
    expect(node.engine.view.hasPeers).toBe(false);
    await using _other = await openNode(database.address);
    await until("it knows", () => node.engine.view.hasPeers, { withinMs: 1_000 });
  });

  test("whose name another process takes stops all it does, and does nothing more", async () => {
    const first = await openNode(database.address, { nodeId: "same", lease: quick });
    const { stopped, id } = await holding(first);
    await using second = await openNode(database.address, { nodeId: "same", lease: quick });
    second.runner.on("watched", (run) => second.runner.hold(run));
    await until("its run is stopped", () => stopped.length > 0);
    expect(stopped).toEqual(["fenced"]);
    await until("the other has it", () => second.runner.isHolding(id));
    first.worker.wake("function");
    const next = await first.submitter.submit(jobOf());
    await becomes(next.id, "succeeded");
    expect(second.runner.started.some((request) => request.jobId === next.id)).toBe(true);
    second.runner.letGo(id);
    await becomes(id, "succeeded");
    // Whichever of the two was first to say so; and the first may have taken it once more before it knew.
    const runs = await runsOf(database.sql, id);
    expect(runs.at(-1)).toEndWith(" succeeded");
    for (const run of runs.slice(0, -1)) expect(run).toMatch(/ (lost|interrupted)$/);
    await first.stop();
    expect(await isLeased("same")).toBe(true);
  });

  test("whose name was taken has it back once the other has ended, and works again", async () => {
    await using first = await openNode(database.address, { nodeId: "same", lease: quick });
    const second = await openNode(database.address, { nodeId: "same", lease: quick });
    await until("the first knows", () => first.log.lines().some((line) => line.includes("has taken this node's name")));
    const orphan = (await leftBehind("same", 1))[0] ?? "";
    await second.stop();
    await until("it has its name back", () => first.log.lines().some((line) => line.includes("has its name back")));
    const { id } = await first.submitter.submit(jobOf());
    for (const each of [id, orphan]) await becomes(each, "succeeded");
    expect(first.runner.started.map(({ jobId }) => jobId)).toContain(id);
    expect(await isLeased("same")).toBe(true);
  });

  test("that cannot renew stops its runs before its lease is over, and goes on when it can", async () => {
    const gate = leaseGate();
    await using node = await openNode(database.address, { lease: quick, through: gate.through });
    const { stopped, id } = await holding(node);
    for (const way of ["fails", "hangs"] as const) {
      stopped.length = 0;
      await until("it runs", () => node.runner.isHolding(id));
      const [row] = await database.sql<
        { until: Date }[]
      >`SELECT lease_until AS until FROM nodes WHERE id = ${node.engine.nodeId}`;
      gate.way = way;
      await until("its run is stopped", () => stopped.length > 0);
      expect(Date.now()).toBeLessThan((row?.until.getTime() ?? 0) + 100);
      expect(stopped).toEqual(["fenced"]);
      gate.way = "open";
      await until("it runs again", async () => (await statusesOf(database.sql, id))[0] === "running");
    }
    await until("it is held", () => node.runner.isHolding(id));
    node.runner.letGo(id);
    await becomes(id, "succeeded");
    expect(node.log.lines().filter((line) => line.includes("could not be renewed in time"))).toHaveLength(2);
  });

  test("keeps its lease while its chores take long", async () => {
    const database2 = await testDatabase();
    let isSlow = false;
    await using node = await openNode(database2.address, {
      lease: quick,
      through: (db) => ({ ...db, hot: delayed(db.hot, () => (isSlow ? 300 : 0)) }),
    });
    await database2.sql`INSERT INTO jobs (id, surface, client, runner, status, priority, name, input) SELECT n, 'api', 't', 'function', 'running', 1, 'x', '{}' FROM generate_series(1, 20) n`;
    await database2.sql`INSERT INTO tasks (job_id, index, runner, target, status, priority, timeout_ms, run_id, node_id, started_at)
      SELECT n, 0, 'function', 'echo', 'running', 1, 1000, gen_random_uuid(), 'gone', now() FROM generate_series(1, 20) n`;
    isSlow = true;
    await database2.sql`INSERT INTO nodes (id, boot_id, version, lease_until) VALUES ('gone', gen_random_uuid(), '1', now())`;
    await until("the first ones are returned", async () => (await database2.sql`SELECT 1 FROM runs`).length > 2);
    const [row] = await database2.sql<{ ms: number }[]>`
      SELECT (extract(epoch FROM lease_until - now()) * 1000)::float8 AS ms FROM nodes WHERE id = ${node.engine.nodeId}`;
    expect(row?.ms).toBeGreaterThan(1_000);
    expect(node.log.lines().some((line) => line.includes("in time"))).toBe(false);
    isSlow = false;
    await until(
      "all are returned",
      async () => (await database2.sql`SELECT 1 FROM tasks WHERE node_id = 'gone' AND status = 'running'`).length === 0,
    );
  });

  test("that has stopped does not renew any more", async () => {
    const node = await openNode(database.address, { nodeId: "done", lease: quick });
    await node.stop();
    await database.sql`SELECT pg_notify('fairlead', 'nodes:-:')`;
    await Bun.sleep(300);
    expect(await isLeased("done")).toBe(false);
  });
});

describe("a run", () => {
  test("that the database gives to somebody else is stopped", async () => {
    await using node = await openNode(database.address, { lease: quick });
    const { stopped, id } = await holding(node);
    await database.sql`UPDATE tasks SET run_id = gen_random_uuid(), node_id = 'other' WHERE job_id = ${id}`;
    await until("it is stopped", () => stopped.length > 0);
    expect(stopped).toEqual(["fenced"]);
    await until("its slot is free", () => node.worker.slots().function?.used === 0);
    expect(await runsOf(database.sql, id)).toEqual([]);
  });

  test("that reports something after it lost its task is stopped at once", async () => {
    await using node = await openNode(database.address);
    const { stopped, id, say } = await holding(node);
    await database.sql`UPDATE tasks SET run_id = gen_random_uuid(), node_id = 'other' WHERE job_id = ${id}`;
    say("am I still here?");
    await until("it is stopped", () => stopped.length > 0, { withinMs: 1_000 });
    expect(stopped).toEqual(["fenced"]);
  });

  test("that nobody executes is returned, but not one that is executed", async () => {
    await using node = await openNode(database.address, { lease: quick });
    const { id } = await holding(node);
    const orphan = (await node.submitter.submit(jobOf({ held: true }))).id;
    await database.sql`UPDATE jobs SET status = 'running', held = false WHERE id = ${orphan}`;
    await database.sql`UPDATE tasks SET status = 'running', run_id = gen_random_uuid(), node_id = ${node.engine.nodeId}, started_at = now(), attempt = 1 WHERE job_id = ${orphan}`;
    await becomes(orphan, "succeeded");
    expect(await runsOf(database.sql, orphan)).toEqual(["0/1 lost", "0/2 succeeded"]);
    expect((await readJob(database.sql, id))?.status).toBe("running");
    expect(await runsOf(database.sql, id)).toEqual([]);
    node.runner.letGo(id);
  });
});

/** A job whose run tells what it is stopped for. */
async function holding(node: TestNode) {
  const stopped: StopReason[] = [];
  const said = Promise.withResolvers<(text: string) => void>();
  node.runner.on("watched", async (run) => {
    void run.stopped.then((reason) => stopped.push(reason));
    said.resolve((text) => run.sink.log("info", text));
    return node.runner.hold(run);
  });
  const { id } = await node.submitter.submit(jobOf({ target: "watched" }));
  const say = await said.promise;
  return { stopped, id, say };
}

/** Tasks that run on a node of which there is only a row. */
async function leftBehind(nodeId: string, count: number, owner = nodeId): Promise<string[]> {
  await using dead = await openNode(database.address, { isStarted: false });
  const receipts = await Promise.all(Array.from({ length: count }, () => dead.submitter.submit(jobOf({ held: true }))));
  const ids = receipts.map((receipt) => receipt.id);
  await database.sql`INSERT INTO nodes (id, boot_id, version, lease_until) VALUES (${nodeId}, gen_random_uuid(), '1', now() + interval '1 minute')
    ON CONFLICT DO NOTHING`;
  await database.sql`UPDATE jobs SET status = 'running', held = false WHERE id = ANY(${ids})`;
  await database.sql`UPDATE tasks SET status = 'running', run_id = gen_random_uuid(), node_id = ${owner}, started_at = now(), attempt = 1 WHERE job_id = ANY(${ids})`;
  return ids;
}

/** Lets the renewals of a node through, fail or hang. */
function leaseGate() {
  const gate = {
    way: "open" as "open" | "fails" | "hangs",
    through: (db: Database): Database => ({
      ...db,
      lease: new Proxy(db.lease, {
        get(target, name, receiver) {
          const value: unknown = Reflect.get(target, name, receiver);
          if (name !== "unsafe" || gate.way === "open") return value;
          if (gate.way === "hangs") return () => new Promise(() => undefined);
          return () => Promise.reject(Object.assign(new Error("away"), { code: "ECONNREFUSED" }));
        },
      }),
    }),
  };
  return gate;
}

function delayed(pool: Sql, ms: () => number): Sql {
  return new Proxy(pool, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (name !== "begin") return value;
      return async (work: (tx: unknown) => Promise<unknown>) => {
        if (ms() > 0) await Bun.sleep(ms());
        return (value as (work: (tx: unknown) => Promise<unknown>) => Promise<unknown>)(work);
      };
    },
  });
}

async function isLeased(id: string): Promise<boolean> {
  return (await database.sql`SELECT 1 FROM nodes WHERE id = ${id} AND lease_until > now()`).length === 1;
}

async function becomes(id: string, status: string): Promise<void> {
  await until(`job ${id} is ${status}`, async () => (await statusesOf(database.sql, id))[0] === status);
}

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Database, Sql } from "../../src/db/client.ts";
import { readNodes } from "../../src/engine/overview.ts";
import { readWaiting } from "../../src/engine/waiting.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

const lease = { renewEveryMs: 100 };
const watch = { patienceMs: 600, retryMs: 500, retryMaxMs: 1_000 };

let database: TestDatabase;

beforeEach(async () => {
  database = await testDatabase();
});

afterEach(async () => {
  await database.drop();
});

describe("a node whose claims", () => {
  for (const way of ["hang", "fail"] as const)
    test(`${way} says so, begins nothing, and works again when they do not`, async () => {
      const gate = claimGate();
      await using node = await openNode(database.address, { lease, watch, through: gate.through });
      await settled(node);
      gate.way = way;
      const { id } = await node.submitter.submit(jobOf({ concurrency: { key: "none", max: 1 } }));
      await until("it complains", () => node.node.complaint !== null, { withinMs: 30_000 });
      expect(node.node.complaint).toContain("has taken nothing of function");
      await until("others can see it", async () => (await stateOf(node)) === "unhealthy");
      const late = await node.submitter.submit(jobOf());
      expect(await statusesOf(database.sql, late.id)).toEqual(["queued", "queued"]);
      expect((await readWaiting(database.sql, [late.id], { aheadMax: 10 })).get(late.id)?.reason).toBe(
        "no healthy node",
      );
      await until("it has tried again in vain", () => gate.refused > 1);
      gate.way = "open";
      for (const job of [id, late.id]) await becomes(job, "succeeded");
      await until("it is well", () => node.node.complaint === null, { withinMs: 30_000 });
      await until("others can see that", async () => (await stateOf(node)) === "ready");
    });

  test("hang does not keep others from the work", async () => {
    const gate = claimGate();
    await using node = await openNode(database.address, { lease, watch, through: gate.through });
    await settled(node);
    gate.way = "hang";
    const { id } = await node.submitter.submit(jobOf({ concurrency: { key: "none", max: 1 } }));
    await until("it complains", () => node.node.complaint !== null, { withinMs: 30_000 });
    await using _other = await openNode(database.address, { lease });
    await becomes(id, "succeeded");
    gate.way = "open";
    await until("it is well, since nothing waits", () => node.node.complaint === null, { withinMs: 30_000 });
  });
});

describe("a node is well", () => {
  for (const [why, begin, end] of [
    [
      "while its queue is paused",
      async () => {
        await database.sql`INSERT INTO pauses (queue, by) VALUES ('function', 'test')`;
        await tellNodes();
      },
      async () => {
        await database.sql`DELETE FROM pauses`;
        await tellNodes();
      },
    ],
    [
      "while it is drained",
      async () => {
        await database.sql`UPDATE nodes SET draining = true`;
        await tellNodes();
      },
      async () => {
        await database.sql`UPDATE nodes SET draining = false`;
        await tellNodes();
      },
    ],
  ] as const)
    test(why, async () => {
      await using node = await openNode(database.address, { lease, watch });
      await settled(node);
      await begin();
      await until("it knows", () => node.engine.view.paused.size > 0 || node.engine.view.maintenance);
      const { id } = await node.submitter.submit(jobOf());
      await staysWell(node);
      await end();
      await becomes(id, "succeeded");
    });

  test("while its slots are full", async () => {
    await using node = await openNode(database.address, { lease, watch, slots: 1 });
    await settled(node);
    const first = await node.submitter.submit(jobOf({ target: "hold" }));
    await until("it is held", () => node.runner.isHolding(first.id));
    const second = await node.submitter.submit(jobOf());
    await staysWell(node);
    node.runner.letGo(first.id);
    await becomes(second.id, "succeeded");
  });

  test("while what waits has no free place under its key, or asks for another node", async () => {
    await using node = await openNode(database.address, { lease, watch });
    await settled(node);
    const concurrency = { key: "k", max: 1 };
    const first = await node.submitter.submit(jobOf({ target: "hold", concurrency }));
    await until("it is held", () => node.runner.isHolding(first.id));
    const second = await node.submitter.submit(jobOf({ concurrency }));
    const { tasks } = jobOf();
    await node.submitter.submit(jobOf({ tasks: tasks.map((task) => ({ ...task, requires: { tags: ["gpu"] } })) }));
    await staysWell(node);
    node.runner.letGo(first.id);
    await becomes(second.id, "succeeded");
  });
});

/** Lets claims through, fail, or never come back. */
function claimGate() {
  const gate = {
    way: "open" as "open" | "fail" | "hang",
    refused: 0,
    through: (db: Database): Database => ({
      ...db,
      hot: new Proxy(db.hot, {
        get(target, name, receiver) {
          const value: unknown = Reflect.get(target, name, receiver);
          if (name !== "begin" || gate.way === "open") return value;
          gate.refused++;
          return gate.way === "hang"
            ? () => new Promise(() => undefined)
            : () => Promise.reject(new Error("no claims"));
        },
      }) as Sql,
    }),
  };
  return gate;
}

async function settled(node: TestNode): Promise<void> {
  await until("its first claims are over", () => {
    if (!node.worker.reserve("function", "echo")) return false;
    node.worker.release("function");
    return true;
  });
}

async function staysWell(node: TestNode): Promise<void> {
  const untilMs = performance.now() + watch.patienceMs * 3;
  while (performance.now() < untilMs) {
    expect(node.node.complaint).toBeNull();
    await Bun.sleep(50);
  }
}

async function stateOf(node: TestNode): Promise<string | undefined> {
  return (await readNodes(database.sql)).find(({ id }) => id === node.engine.nodeId)?.state;
}

async function tellNodes(): Promise<void> {
  await database.sql`SELECT pg_notify('fairlead', 'nodes:-:')`;
}

async function becomes(id: string, status: string): Promise<void> {
  const isSo = async () => (await statusesOf(database.sql, id))[0] === status;
  await until(`job ${id} is ${status}`, isSo, { withinMs: 30_000 });
}

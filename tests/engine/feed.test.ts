import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Database } from "../../src/db/client.ts";
import { JobFeed } from "../../src/engine/feed.ts";
import type { JobEvent } from "../../src/engine/hub.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { until } from "../support/until.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

const reads = { count: 0 };

/** Counts the statements that read events. */
function counting(db: Database): Database {
  const sql = new Proxy(db.sql, {
    get: (inner, name) =>
      name !== "unsafe"
        ? Reflect.get(inner, name)
        : (...given: Parameters<typeof inner.unsafe>) => {
            if (given[0].includes("FROM events")) reads.count++;
            return inner.unsafe(...given);
          },
  });
  return { ...db, sql };
}

async function whole(node: TestNode, jobId: string, after = 0): Promise<JobEvent[]> {
  const feed = new JobFeed(node.engine, jobId, after);
  const events: JobEvent[] = [];
  for (let page = await feed.next(); page !== null; page = await feed.next()) events.push(...page);
  feed.close();
  return events;
}

test("many feeds that stand at one place share what they read", async () => {
  await using node = await openNode(database.address, { through: counting });
  node.runner.on("talk", ({ sink }) => {
    for (let at = 0; at < 500; at++) sink.log("info", `line ${at}`);
    return { kind: "succeeded", output: 1 };
  });
  const { id } = await node.submitter.submit(jobOf({ target: "talk" }));
  const one = await whole(node, id);
  reads.count = 0;
  const many = await Promise.all(Array.from({ length: 100 }, () => whole(node, id)));
  for (const events of many) expect(events).toEqual(one);
  expect(one.map(({ seq }) => seq)).toEqual(one.map((_, at) => at + 1));
  expect(reads.count).toBeLessThan(20);
});

test("feeds on another node follow live, by few statements", async () => {
  await using worker = await openNode(database.address, { nodeId: "works" });
  await using reader = await openNode(database.address, { nodeId: "reads", slots: 0, through: counting });
  const go = Promise.withResolvers<void>();
  worker.runner.on("slowly", async ({ sink }) => {
    await go.promise;
    for (let at = 0; at < 30; at++) {
      sink.log("info", `line ${at}`);
      await Bun.sleep(5);
    }
    return { kind: "succeeded", output: null };
  });
  const { id } = await worker.submitter.submit(jobOf({ target: "slowly" }));
  reads.count = 0;
  const many = Array.from({ length: 200 }, () => whole(reader, id));
  await until("all of them listen", () => reader.engine.hub.listening === 1 && reads.count > 0);
  go.resolve();
  const followed = await Promise.all(many);
  const one = await whole(worker, id);
  for (const events of followed) expect(events).toEqual(one);
  // Alone, each of the 200 would ask about thirty times.
  expect(reads.count).toBeLessThan(600);
});

test("what is live and what is read later are the same to the byte", async () => {
  await using node = await openNode(database.address);
  node.runner.on("chat", async ({ sink }) => {
    await sink.output("stdout", "a\u0000b\n");
    sink.progress(0.5, "half");
    await Bun.sleep(20);
    sink.log("warn", "careful");
    return { kind: "failed", error: { code: "function_error", message: "no" } };
  });
  const id = crypto.randomUUID();
  await node.submitter.submit(
    jobOf({
      id,
      target: "chat",
      tasks: [{ runner: "function", target: "chat", timeoutMs: 9_000, maxAttempts: 2, backoffS: 0 }],
    }),
  );
  const live = whole(node, id);
  expect(await live).toEqual(await whole(node, id));
});

test("a feed that is not read forgets nothing and holds little", async () => {
  await using node = await openNode(database.address);
  const count = 3_000;
  node.runner.on("flood", async ({ sink }) => {
    for (let at = 0; at < count; at++) {
      sink.log("info", `${at} ${"x".repeat(500)}`);
      if (at % 100 === 0) await Bun.sleep(1);
    }
    return { kind: "succeeded", output: null };
  });
  const id = crypto.randomUUID();
  const feed = new JobFeed(node.engine, id, 0);
  await node.submitter.submit(jobOf({ id, target: "flood" }));
  await until("it has ended", async () => {
    const [row] = await database.sql`SELECT 1 FROM jobs WHERE id = ${id} AND finished_at IS NOT NULL`;
    return row !== undefined;
  });
  const sizes: number[] = [];
  const seen: number[] = [];
  for (let page = await feed.next(); page !== null; page = await feed.next()) {
    sizes.push(page.reduce((sum, { data }) => sum + data.length, 0));
    seen.push(...page.map(({ seq }) => seq));
  }
  feed.close();
  expect(seen).toEqual(Array.from({ length: seen.length }, (_, at) => at + 1));
  expect(seen.length).toBeGreaterThan(count);
  expect(Math.max(...sizes)).toBeLessThan(700_000);
});

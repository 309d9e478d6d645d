import { expect, test } from "bun:test";
import type { Database, Runs } from "../../src/db/client.ts";
import { testDatabase } from "../support/database.ts";
import { jobOf, openNode } from "../support/engine.ts";
import { until } from "../support/until.ts";

test("where many wait a node has two claims on their way, begins each task once and has all its slots back", async () => {
  const database = await testDatabase();
  const claims = { now: 0, most: 0 };
  await using node = await openNode(database.address, { slots: 64, through: (db) => counting(db, claims) });
  node.worker.pause();
  for (let group = 0; group < 8; group++)
    await Promise.all(Array.from({ length: 100 }, () => node.submitter.submit(jobOf())));
  node.worker.resume();
  const left = () => database.sql`SELECT 1 FROM jobs WHERE status <> 'succeeded' LIMIT 1`;
  await until("all have ended", async () => (await left()).length === 0, { withinMs: 30_000, everyMs: 50 });
  expect(claims.most).toBe(2);
  expect(node.runner.started).toHaveLength(800);
  expect(new Set(node.runner.started.map(({ jobId }) => jobId)).size).toBe(800);
  await until("every slot is free", () => node.worker.slots().function?.used === 0);
});

/** A claim is known by what it takes; those of the other runners are left out. */
function counting(db: Database, claims: { now: number; most: number }): Database {
  const begin = async (work: (tx: object) => unknown) => {
    let isOne = false;
    const unsafe = (tx: Runs) => (text: string, values: unknown[], options: object) => {
      if (/DELETE FROM pgboss/.test(text) && values[0] === "function") {
        isOne = true;
        claims.most = Math.max(claims.most, ++claims.now);
      }
      return tx.unsafe(text, values as never[], options);
    };
    try {
      return await db.hot.begin((tx) =>
        work(new Proxy(tx, { get: (on, name) => (name === "unsafe" ? unsafe(on) : Reflect.get(on, name)) })),
      );
    } finally {
      if (isOne) claims.now--;
    }
  };
  return { ...db, hot: new Proxy(db.hot, { get: (hot, name) => (name === "begin" ? begin : Reflect.get(hot, name)) }) };
}

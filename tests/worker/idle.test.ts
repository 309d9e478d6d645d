import { afterAll, beforeAll, expect, test } from "bun:test";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { watching } from "../support/failing-database.ts";
import { statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

const watchedS = 8;

let database: TestDatabase;
let node: TestNode;
const statements: string[] = [];

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { through: (db) => watching(db, (text) => statements.push(text.trim())) });
  const { id } = await node.submitter.submit(jobOf());
  await until("it has worked", async () => (await statusesOf(database.sql, id))[0] === "succeeded");
  expect(statements.length).toBeGreaterThan(3);
});

afterAll(async () => {
  await node.stop();
});

test("a node that has nothing to do asks the database at most twice a second", async () => {
  statements.length = 0;
  await Bun.sleep(watchedS * 1_000);
  const kinds = Object.entries(Object.groupBy(statements, (text) => text.slice(0, 40)));
  expect(kinds.length).toBeGreaterThan(1);
  expect(statements.length).toBeLessThanOrEqual(2 * watchedS);
});

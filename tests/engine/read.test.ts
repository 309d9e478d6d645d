import { afterAll, beforeAll, expect, test } from "bun:test";
import { readJob, readJobs } from "../../src/engine/read.ts";
import { isFinal } from "../../src/engine/status.ts";
import { waitForExisting } from "../../src/engine/wait.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address);
});

afterAll(async () => {
  await node.stop();
});

test("jobs that are read together are each as they are read alone, in the order asked", async () => {
  const { submitter } = node;
  const [chain, told, held] = await Promise.all([
    submitter.submit(jobOf({ tasks: ["echo", "echo", "echo"].map((name) => taskOf(name)), input: { n: 1 } })),
    submitter.submit(jobOf({ webhook: { url: "http://x", events: ["completed"], kind: "test" } })),
    submitter.submit(jobOf({ held: true, input: [1, { b: 2 }], tags: ["a"] })),
  ]);
  for (const { id } of [chain, told]) await waitForExisting(node.engine, id, 20_000);
  const ids = [held.id, "nobody", chain.id, told.id, held.id];
  const together = await readJobs(node.db.sql, ids);
  const known = ids.filter((id) => id !== "nobody");
  expect(together.map(({ id }) => id)).toEqual(known);
  expect(together).toEqual((await Promise.all(known.map((id) => readJob(node.db.sql, id)))) as never);
  const [waiting, ended, webhooked] = together;
  expect(waiting).toMatchObject({ held: true, input: [1, { b: 2 }], tags: ["a"], status: "queued", result: null });
  expect(ended).toMatchObject({ status: "succeeded", input: { n: 1 }, result: { n: 1 }, attempts: 1 });
  expect(ended?.tasks.map(({ index, output, run }) => [index, output, run?.attempt])).toEqual([
    [0, { n: 1 }, 1],
    [1, { n: 1 }, 1],
    [2, { n: 1 }, 1],
  ]);
  expect(webhooked?.webhook?.url).toBe("http://x");
});

test("a job that reads as succeeded has its result, however it is caught", async () => {
  for (let round = 0; round < 20; round++) {
    const receipts = await Promise.all(
      Array.from({ length: 10 }, (_, at) => node.submitter.submit(jobOf({ input: { at } }))),
    );
    for (let isOver = false; !isOver;) {
      const jobs = await readJobs(
        node.db.sql,
        receipts.map(({ id }) => id),
      );
      isOver = jobs.every(({ status }) => isFinal(status));
      const torn = jobs.filter(
        ({ status, result, tasks }) => status !== tasks[0]?.status || (isFinal(status) && result === null),
      );
      expect(torn).toEqual([]);
    }
  }
});

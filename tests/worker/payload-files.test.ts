import { afterAll, beforeAll, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { reservePayloadId } from "../../src/engine/payloads.ts";
import type { FileStore } from "../../src/files/store.ts";
import { payloadFiles } from "../../src/worker/payload-files.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { scriptedFacts } from "../support/scripted-runner.ts";

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { isStarted: false });
});

afterAll(async () => {
  await node.stop();
});

test("what a run left is described in its payload's row", async () => {
  const { task, payloadId } = await begun();
  const files = payloadFiles(node.db.sql, storeOf(["a", "b"]).store);
  expect(await files.before(task)).toBe(`/work/${payloadId}`);
  await files.after(task);
  expect(await describedFiles(payloadId)).toBe(2);
});

test("what a run left that lost its task is neither published nor described", async () => {
  const { task, payloadId } = await begun();
  await node.finisher.finish(task, { kind: "interrupted" }, scriptedFacts);
  const [next] = (await claim(node.engine, "function", 1)).claimed as [Claimed];
  const late = storeOf(["late"]);
  await payloadFiles(node.db.sql, late.store).after(task);
  expect(late.published).toEqual([]);
  await payloadFiles(node.db.sql, storeOf(["a", "b", "c"]).store).after(next);
  expect(await describedFiles(payloadId)).toBe(3);
});

test("a run that loses its task while it publishes describes nothing", async () => {
  const { task, payloadId } = await begun();
  const slow = storeOf(["slow"], async () => {
    await node.finisher.finish(task, { kind: "interrupted" }, scriptedFacts);
  });
  await payloadFiles(node.db.sql, slow.store).after(task);
  expect(await describedFiles(payloadId)).toBe(0);
});

async function begun(): Promise<{ task: Claimed; payloadId: number }> {
  const payloadId = await reservePayloadId(node.db.sql);
  const payload = { id: payloadId, files: 0, bytes: 0, manifestJson: "[]" };
  await node.submitter.submit(jobOf({ payload, priority: -1 }));
  const [task] = (await claim(node.engine, "function", 1)).claimed as [Claimed];
  expect(task.payloadId).toBe(payloadId);
  return { task, payloadId };
}

/** A store in which a run has left these files. */
function storeOf(paths: string[], during: () => Promise<void> = async () => undefined) {
  const published: number[] = [];
  const store = {
    workDirectory: async (id: number) => `/work/${id}`,
    async publish(id: number) {
      await during();
      published.push(id);
      return { files: paths.map((path) => ({ path, bytes: 1 })) };
    },
  };
  // Only what a run needs of a store.
  return { published, store: store as unknown as FileStore };
}

async function describedFiles(payloadId: number): Promise<number> {
  const [row] = await database.sql<{ files: number }[]>`SELECT files FROM payloads WHERE id = ${payloadId}`;
  return row?.files ?? -1;
}

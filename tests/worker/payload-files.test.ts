import { afterAll, beforeAll, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { reservePayloadId } from "../../src/engine/uploads.ts";
import { EngineError } from "../../src/errors.ts";
import type { Manifest } from "../../src/files/manifest.ts";
import type { FileStore, RunClaim } from "../../src/files/store.ts";
import { silentLog } from "../../src/log.ts";
import { type Patience, payloadFiles } from "../../src/worker/payload-files.ts";
import { failedToStart } from "../../src/worker/run-task.ts";
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
  const { store, forgotten } = storeOf(["a", "b"]);
  const files = filesIn(store);
  expect(await files.before(task)).toBe(`/work/${payloadId}`);
  await files.after(task);
  expect(await describedFiles(payloadId)).toBe(2);
  expect(forgotten).toEqual([payloadId]);
});

test("what a run left that lost its task is neither published nor described", async () => {
  const { task, payloadId } = await begun();
  const [late, other] = [storeOf(["late"]), storeOf(["a", "b", "c"])];
  const [here, there] = [filesIn(late.store), filesIn(other.store)];
  await here.before(task);
  await node.finisher.finish(task, { kind: "interrupted" }, scriptedFacts);
  const [next] = (await claim(node.engine, "function", 1)).claimed as [Claimed];
  await there.before(next);
  await here.after(task);
  expect(late).toMatchObject({ published: [], forgotten: [payloadId] });
  await there.after(next);
  expect(await describedFiles(payloadId)).toBe(3);
});

test("what a run left that lost its task to one on the same node is that one's", async () => {
  const { task, payloadId } = await begun();
  const { store, published, forgotten } = storeOf(["a"]);
  const files = filesIn(store);
  await files.before(task);
  await node.finisher.finish(task, { kind: "interrupted" }, scriptedFacts);
  const [next] = (await claim(node.engine, "function", 1)).claimed as [Claimed];
  await files.before(next);
  await files.after(task);
  expect([published, forgotten]).toEqual([[], []]);
  await files.after(next);
  expect([published, forgotten]).toEqual([[payloadId], [payloadId]]);
});

test("a store that is away for a moment is waited for, before the run and after it", async () => {
  const { task, payloadId } = await begun();
  const { store } = storeOf(["a"]);
  let refusals = 0;
  const failing = <More extends unknown[], T>(act: (id: number, ...more: More) => Promise<T>) => {
    let left = 2;
    return async (id: number, ...more: More) => {
      if (left-- === 0) return act(id, ...more);
      refusals++;
      throw new EngineError("unavailable", "The object store cannot be used");
    };
  };
  const files = filesIn({ ...store, workDirectory: failing(store.workDirectory), publish: failing(store.publish) });
  expect(await files.before(task)).toBe(`/work/${payloadId}`);
  await files.after(task);
  expect(refusals).toBe(4);
  expect(await describedFiles(payloadId)).toBe(1);
});

test("a store that stays away sends the task back to the queue, uncharged", async () => {
  const { task } = await begun();
  const away = async () => {
    throw new EngineError("unavailable", "The object store cannot be used");
  };
  const { store } = storeOf([]);
  const files = filesIn({ ...store, workDirectory: away }, { beforeMs: 0 });
  const fault = await files.before(task).catch((caught: unknown) => caught);
  expect(await failedToStart(fault).done).toMatchObject({ outcome: { kind: "interrupted" } });
  await files.after(task);
});

test("files on the disk of another node are said to be there", async () => {
  const { task, payloadId } = await begun();
  await database.sql`UPDATE payloads SET node_id = 'ams-1' WHERE id = ${payloadId}`;
  const gone = async () => {
    throw new EngineError("not_found", "no files here");
  };
  const files = filesIn({ ...storeOf([]).store, kind: "local", workDirectory: gone });
  await expect(files.before(task)).rejects.toThrow(/on node ams-1, .* S3_BUCKET/);
});

test("files that are gone when a run ends are a fault only while it owns its task", async () => {
  const { task, payloadId } = await begun();
  const { store, forgotten } = storeOf([]);
  const publish = async () => {
    throw new EngineError("not_found", "no files here");
  };
  const files = filesIn({ ...store, publish });
  await files.before(task);
  await expect(files.after(task)).rejects.toThrow("no files here");
  await node.finisher.finish(task, { kind: "cancelled" }, scriptedFacts);
  await files.after(task);
  expect(forgotten).toEqual([payloadId]);
});

test("what a run publishes after its payload was cleaned is removed again", async () => {
  const { task, payloadId } = await begun();
  const slow = storeOf(["late"], async () => {
    await node.finisher.finish(task, { kind: "cancelled" }, scriptedFacts);
    await database.sql`UPDATE payloads SET cleaned_at = now() WHERE id = ${payloadId}`;
  });
  const files = filesIn(slow.store);
  await files.before(task);
  await files.after(task);
  expect(slow).toMatchObject({ published: [payloadId], removed: [payloadId] });
});

test("a run that loses its task while it publishes describes nothing", async () => {
  const { task, payloadId } = await begun();
  const slow = storeOf(["slow"], async () => {
    await node.finisher.finish(task, { kind: "interrupted" }, scriptedFacts);
  });
  const files = filesIn(slow.store);
  await files.before(task);
  await files.after(task);
  expect(await describedFiles(payloadId)).toBe(0);
});

function filesIn(files: FileStore, patience: Partial<Patience> = {}) {
  const times = { beforeMs: 10_000, afterMs: 10_000, everyMs: 1, ...patience };
  return payloadFiles({ sql: node.db.sql, files, nodeId: node.engine.nodeId, log: silentLog(), patience: times });
}

async function begun(): Promise<{ task: Claimed; payloadId: number }> {
  const payloadId = await reservePayloadId(node.engine);
  const payload = { id: payloadId, files: 0, bytes: 0, manifestJson: "[]" };
  await node.submitter.submit(jobOf({ payload, priority: -1 }));
  const [task] = (await claim(node.engine, "function", 1)).claimed as [Claimed];
  expect(task.payloadId).toBe(payloadId);
  return { task, payloadId };
}

/** A store in which a run has left these files. */
function storeOf(paths: string[], during: () => Promise<void> = async () => undefined) {
  const published: number[] = [];
  const forgotten: number[] = [];
  const removed: number[] = [];
  const store = {
    workDirectory: async (id: number) => `/work/${id}`,
    async publish(id: number, { isOwned, record }: RunClaim) {
      if (!(await isOwned())) return false;
      await during();
      published.push(id);
      return await record({ files: paths.map((path) => ({ path, bytes: 1 })) } as Manifest);
    },
    async remove(id: number) {
      removed.push(id);
    },
    async forget(id: number) {
      forgotten.push(id);
    },
  };
  // Only what a run needs of a store.
  return { published, forgotten, removed, store: store as unknown as FileStore };
}

async function describedFiles(payloadId: number): Promise<number> {
  const [row] = await database.sql<{ files: number }[]>`SELECT files FROM payloads WHERE id = ${payloadId}`;
  return row?.files ?? -1;
}

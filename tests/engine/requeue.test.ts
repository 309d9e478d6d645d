import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cancel } from "../../src/engine/cancel.ts";
import { readJob } from "../../src/engine/read.ts";
import { release, retry } from "../../src/engine/requeue.ts";
import { EngineError } from "../../src/errors.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { gapsOf, historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address);
});

afterAll(async () => {
  await node.stop();
});

describe("a held job", () => {
  test("waits without a message until it is released", async () => {
    const { id } = await node.submitter.submit(jobOf({ held: true }));
    expect(await messagesOf(id)).toBe(0);
    const held = await readJob(database.sql, id);
    expect(held).toMatchObject({ held: true, status: "queued", queued_at: null });
    await release(node.engine, id);
    await becomes(id, "succeeded");
    const done = await readJob(database.sql, id);
    expect(done?.held).toBe(false);
    expect(done?.queued_at).not.toBeNull();
    expect((await historyOf(database.sql, id))[1]).toBe("status queued released");
  });

  test("that is released by many at once runs once", async () => {
    const { id } = await node.submitter.submit(jobOf({ held: true }));
    const fates = await Promise.allSettled(Array.from({ length: 10 }, () => release(node.engine, id)));
    expect(fates.filter((fate) => fate.status === "fulfilled")).toHaveLength(1);
    for (const fate of fates) if (fate.status === "rejected") expect(fate.reason.code).toBe("not_held");
    await becomes(id, "succeeded");
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
  });

  test("keeps its delay after it is released", async () => {
    const { id } = await node.submitter.submit(jobOf({ held: true, runAt: new Date(Date.now() + 3_600_000) }));
    await release(node.engine, id);
    const [message] =
      await database.sql`SELECT start_after > now() + interval '50 minutes' AS later FROM pgboss.job WHERE data->>'j' = ${id}`;
    expect(message?.later).toBe(true);
  });

  test("that is not held, ended or unknown is refused", async () => {
    const { id } = await node.submitter.submit(jobOf());
    await refuses(release(node.engine, id), "not_held");
    await refuses(release(node.engine, "nobody"), "not_found");
    const held = await node.submitter.submit(jobOf({ held: true }));
    await cancel(node.engine, held.id);
    await refuses(release(node.engine, held.id), "not_held");
  });
});

test("a delayed job runs at its time and not before", async () => {
  const runAt = new Date(Date.now() + 600);
  const { id } = await node.submitter.submit(jobOf({ runAt }));
  await becomes(id, "succeeded");
  const job = await readJob(database.sql, id);
  expect(Date.parse(job?.started_at ?? "")).toBeGreaterThanOrEqual(runAt.getTime());
  expect(Date.parse(job?.started_at ?? "")).toBeLessThan(runAt.getTime() + 2_500);
});

describe("a retry", () => {
  for (const [status, target] of [
    ["succeeded", "echo"],
    ["failed", "unknown"],
    ["cancelled", "hold"],
  ] as const)
    test(`of a ${status} job is a new turn with all its attempts`, async () => {
      const { id } = await node.submitter.submit(
        jobOf({ tasks: [taskOf(target, { maxAttempts: 1 })], input: { n: 1 } }),
      );
      if (status === "cancelled") {
        await until("it runs", () => node.runner.isHolding(id));
        await cancel(node.engine, id);
      }
      await becomes(id, status);
      await retry(node.engine, id);
      if (status === "cancelled") {
        await until("it runs again", async () => (await statusesOf(database.sql, id))[0] === "running");
        await until("it is held again", () => node.runner.isHolding(id));
        expect(await readJob(database.sql, id)).toMatchObject({ finished_at: null, error: null });
        await until("it is let go", async () => {
          if (node.runner.isHolding(id)) node.runner.letGo(id);
          return (await statusesOf(database.sql, id))[0] === "succeeded";
        });
      } else {
        await until("it has run twice", async () => (await runsOf(database.sql, id)).length === 2);
        await becomes(id, status);
      }
      const runs = await runsOf(database.sql, id);
      expect(runs[0]).toBe(`0/1 ${status}`);
      expect(runs[1]).toStartWith("0/2 ");
      expect(await gapsOf(database.sql, id)).toEqual([]);
      expect((await readJob(database.sql, id))?.attempts).toBe(1);
    });

  test("of a job that is not final is refused", async () => {
    const { id } = await node.submitter.submit(jobOf({ runAt: new Date(Date.now() + 3_600_000) }));
    await refuses(retry(node.engine, id), "not_final");
    await refuses(retry(node.engine, "nobody"), "not_found");
  });

  test("by many at once is one turn", async () => {
    const { id } = await node.submitter.submit(jobOf());
    await becomes(id, "succeeded");
    const fates = await Promise.allSettled(Array.from({ length: 10 }, () => retry(node.engine, id)));
    expect(fates.filter((fate) => fate.status === "fulfilled").length).toBeGreaterThan(0);
    const turns = 1 + fates.filter((fate) => fate.status === "fulfilled").length;
    await until("every turn has run", async () => (await runsOf(database.sql, id)).length === turns);
    expect(await gapsOf(database.sql, id)).toEqual([]);
  });

  test("with another input runs with that input", async () => {
    const { id } = await node.submitter.submit(jobOf({ input: { n: 1 } }));
    await becomes(id, "succeeded");
    await retry(node.engine, id, { inputJson: '{"n":2}' });
    await until("it has run twice", async () => (await runsOf(database.sql, id)).length === 2);
    expect((await readJob(database.sql, id))?.result).toEqual({ n: 2 });
  });
});

async function becomes(id: string, status: string): Promise<void> {
  await until(`job ${id} is ${status}`, async () => (await statusesOf(database.sql, id))[0] === status);
}

async function messagesOf(id: string): Promise<number> {
  return (await database.sql`SELECT 1 FROM pgboss.job WHERE data->>'j' = ${id}`).length;
}

async function refuses(work: Promise<unknown>, code: EngineError["code"]): Promise<void> {
  const fault = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(fault).toBeInstanceOf(EngineError);
  expect((fault as EngineError).code).toBe(code);
}

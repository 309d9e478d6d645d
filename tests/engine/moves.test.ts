import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import { cancel } from "../../src/engine/cancel.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { reap } from "../../src/engine/reap.ts";
import { release, retry } from "../../src/engine/requeue.ts";
import { mayMove, type Status, statuses } from "../../src/engine/status.ts";
import type { Outcome } from "../../src/runners/contract.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { statusesOf } from "../support/job-rows.ts";
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

/** Everything that can happen to a job, tried on a job of every status: what moves must be in the table. */
const actions: Record<string, (job: { id: string; task: Claimed }) => Promise<unknown>> = {
  claim: () => claim(node.engine, "function", 10),
  "finish as succeeded": ({ task }) => finish(task, { kind: "succeeded", output: 1 }),
  "finish as failed": ({ task }) => finish(task, { kind: "failed", error: { code: "function_error", message: "no" } }),
  "finish as cancelled": ({ task }) => finish(task, { kind: "cancelled" }),
  "finish as interrupted": ({ task }) => finish(task, { kind: "interrupted" }),
  cancel: ({ id }) => cancel(node.engine, id),
  release: ({ id }) => release(node.engine, id),
  retry: ({ id }) => retry(node.engine, id),
  reap: () => reap(node.engine, "own name"),
};

describe("every action on a job of every status", () => {
  for (const from of statuses)
    for (const [name, act] of Object.entries(actions))
      test(`${name} of a ${from} job moves as the table says`, async () => {
        const job = await jobIn(from);
        expect((await statusesOf(database.sql, job.id))[0]).toBe(from);
        await act(job).catch(() => "refused");
        const [ofJob, ofTask] = (await statusesOf(database.sql, job.id)) as Status[];
        expect(ofTask).toBe(ofJob as Status);
        if (ofJob !== from) expect([from, ofJob, mayMove(from, ofJob as Status)]).toEqual([from, ofJob, true]);
      });
});

test("the status of a job and of its only task are the same word at every step", async () => {
  const rows = await database.sql`SELECT j.id FROM jobs j JOIN tasks k ON k.job_id = j.id WHERE j.status <> k.status`;
  expect(rows).toHaveLength(0);
});

async function jobIn(status: Status): Promise<{ id: string; task: Claimed }> {
  // Long retries: what goes back to the queue is not claimed by the next test.
  const { id } = await node.submitter.submit(jobOf({ tasks: [taskOf("x", { maxAttempts: 2, backoffS: 3_600 })] }));
  if (status === "queued") return { id, task: { ...(await anyTask()), jobId: id, runId: crypto.randomUUID() } };
  const { claimed } = await claim(node.engine, "function", 100);
  const task = claimed.find((one) => one.jobId === id);
  if (task === undefined) throw new Error("the job was not claimed");
  const outcomes: Partial<Record<Status, Outcome>> = {
    succeeded: { kind: "succeeded", output: 1 },
    cancelled: { kind: "cancelled" },
    failed: { kind: "failed", error: { code: "function_error", message: "no" } },
  };
  const outcome = outcomes[status];
  if (outcome !== undefined) await finish({ ...task, maxAttempts: 1 }, outcome);
  return { id, task };
}

let sample: Claimed | null = null;

async function anyTask(): Promise<Claimed> {
  if (sample === null) {
    const other = await node.submitter.submit(jobOf({ priority: -1 }));
    sample = (await claim(node.engine, "function", 1)).claimed[0] ?? null;
    if (sample?.jobId !== other.id) throw new Error("the most urgent job was not claimed first");
  }
  return sample;
}

function finish(task: Claimed, outcome: Outcome) {
  return node.finisher.finish(task, outcome, scriptedFacts);
}

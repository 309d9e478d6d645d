import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import { readJob } from "../../src/engine/read.ts";
import { retry } from "../../src/engine/requeue.ts";
import type { Outcome } from "../../src/runners/contract.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { failingOn } from "../support/failing-database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { gapsOf, historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { scriptedFacts } from "../support/scripted-runner.ts";
import { until } from "../support/until.ts";

const webhook = { url: "http://127.0.0.1:9/", events: ["completed"], kind: "test" };
const three = [taskOf("add"), taskOf("add", { runner: "script" }), taskOf("add")];

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address);
  teach(node);
});

afterAll(async () => {
  await node.stop();
});

describe("a chain", () => {
  test("hands each output to the next link and keeps them all", async () => {
    const { id } = await node.submitter.submit(jobOf({ tasks: three, input: { n: 1 }, webhook }));
    await isFinal(id);
    const job = await readJob(database.sql, id);
    expect(job).toMatchObject({ status: "succeeded", result: { n: 4 } });
    expect(job?.tasks.map((task) => task.output)).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }]);
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded", "1/1 succeeded", "2/1 succeeded"]);
    expect((await historyOf(database.sql, id)).filter((line) => line !== "status queued")).toEqual([
      ...["status running", "result", "status running", "result", "status running"],
      ...["status succeeded", "result", "completed succeeded"],
    ]);
    expect(await gapsOf(database.sql, id)).toEqual([]);
    expect(await database.sql`SELECT 1 FROM deliveries WHERE job_id = ${id}`).toHaveLength(1);
  });

  test("that waits in the queue between its links is the same", async () => {
    node.engine.lane = null;
    const { id } = await node.submitter.submit(jobOf({ tasks: three, input: { n: 10 } }));
    for (const { worker } of [node]) worker.wake("function");
    await isFinal(id);
    node.engine.lane = node.worker;
    expect(await readJob(database.sql, id)).toMatchObject({ status: "succeeded", result: { n: 13 } });
  });

  test("ends with a link that fails, and keeps what came before", async () => {
    const tasks = [taskOf("add"), taskOf("fail"), taskOf("add"), taskOf("add")];
    const { id } = await node.submitter.submit(jobOf({ tasks, input: { n: 1 }, webhook }));
    await isFinal(id);
    expect(await statusesOf(database.sql, id)).toEqual(["failed", "succeeded", "failed", "cancelled", "cancelled"]);
    const job = await readJob(database.sql, id);
    expect(job).toMatchObject({ result: null, error: { code: "function_error", message: "no" } });
    expect(job?.tasks.map((task) => task.output)).toEqual([{ n: 2 }, null, null, null]);
  });

  test("tries a failing link again by its own attempts, not the chain", async () => {
    let tries = 0;
    node.runner.on("third time", ({ request }) =>
      ++tries < 3 ? failed : { kind: "succeeded", output: { n: (request.input as { n: number }).n + 100 } },
    );
    const tasks = [taskOf("add"), taskOf("third time", { maxAttempts: 3 }), taskOf("add")];
    const { id } = await node.submitter.submit(jobOf({ tasks, input: { n: 0 } }));
    await isFinal(id);
    expect(await readJob(database.sql, id)).toMatchObject({ status: "succeeded", result: { n: 102 } });
    expect(await runsOf(database.sql, id)).toEqual([
      ...["0/1 succeeded", "1/1 failed", "1/2 failed", "1/3 succeeded", "2/1 succeeded"],
    ]);
  });

  test("ends a link and begins the next in one transaction", async () => {
    await using broken = await openNode(database.address, {
      isStarted: false,
      through: (db) => failingOn(db, "UPDATE tasks SET queued_at = now() WHERE job_id"),
    });
    const { id } = await broken.submitter.submit(jobOf({ tasks: three, runAt: new Date(Date.now() + 3_600_000) }));
    await database.sql`UPDATE pgboss.job SET start_after = now() WHERE data->>'j' = ${id}`;
    const [task] = await until("it is claimed", async () => {
      const { claimed } = await claim(broken.engine, "function", 1);
      return claimed.length > 0 ? claimed : null;
    });
    if (task?.jobId !== id) throw new Error("another job was claimed");
    const before = await database.sql`SELECT status, turn, run_id FROM tasks WHERE job_id = ${id} ORDER BY index`;
    await expect(broken.finisher.finish(task, { kind: "succeeded", output: {} }, scriptedFacts)).rejects.toThrow(
      "as the test wants",
    );
    expect(await database.sql`SELECT status, turn, run_id FROM tasks WHERE job_id = ${id} ORDER BY index`).toEqual(
      before,
    );
    expect(await runsOf(database.sql, id)).toEqual([]);
    expect(await node.finisher.finish(task, { kind: "succeeded", output: { n: 0 } }, scriptedFacts)).toBe("recorded");
    await isFinal(id);
  });

  test("goes on in the middle after its node was lost", async () => {
    const tasks = [taskOf("add"), taskOf("hold"), taskOf("add")];
    const { id } = await node.submitter.submit(jobOf({ tasks, input: { n: 1 } }));
    await until("its second link runs", () => node.runner.isHolding(id));
    node.worker.pause();
    await database.sql`INSERT INTO nodes (id, boot_id, version, lease_until) VALUES ('gone', gen_random_uuid(), 'test', now())`;
    await database.sql`UPDATE tasks SET node_id = 'gone' WHERE job_id = ${id} AND index = 1`;
    await using heir = await openNode(database.address);
    teach(heir);
    await until("its second link runs elsewhere", () => heir.runner.isHolding(id));
    node.runner.letGo(id, { kind: "succeeded", output: { n: -1 } });
    heir.runner.letGo(id, { kind: "succeeded", output: { n: 50 } });
    await isFinal(id);
    node.worker.resume();
    expect(await readJob(database.sql, id)).toMatchObject({ status: "succeeded", result: { n: 51 } });
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded", "1/1 lost", "1/2 succeeded", "2/1 succeeded"]);
    const started = [...node.runner.started, ...heir.runner.started].filter((request) => request.jobId === id);
    expect(started.map((request) => request.taskIndex)).toEqual([0, 1, 1, 2]);
  });
});

describe("a retry of a chain", () => {
  test("from a task takes the outputs before it, with an edited input", async () => {
    const tasks = [taskOf("add"), taskOf("fail"), taskOf("add")];
    const { id } = await node.submitter.submit(jobOf({ tasks, input: { n: 1 } }));
    await isFinal(id);
    node.runner.on("fail", add);
    await retry(node.engine, id, { fromTask: 1 });
    await isFinal(id);
    expect((await readJob(database.sql, id))?.tasks.map((task) => task.output)).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }]);
    await retry(node.engine, id, { fromTask: 1, inputJson: '{"n":70}' });
    await isFinal(id);
    expect((await readJob(database.sql, id))?.tasks.map((task) => task.output)).toEqual([
      { n: 2 },
      { n: 71 },
      { n: 72 },
    ]);
    await retry(node.engine, id);
    await isFinal(id);
    expect((await readJob(database.sql, id))?.tasks.map((task) => task.output)).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }]);
    expect(await gapsOf(database.sql, id)).toEqual([]);
    expect(await runsOf(database.sql, id)).toHaveLength(2 + 2 + 2 + 3);
  });

  test("from a task that was never reached is refused", async () => {
    node.runner.on("fail", () => failed);
    const { id } = await node.submitter.submit(jobOf({ tasks: [taskOf("fail"), taskOf("add")], input: { n: 1 } }));
    await isFinal(id);
    await expect(retry(node.engine, id, { fromTask: 1 })).rejects.toThrow("has not succeeded");
    await expect(retry(node.engine, id, { fromTask: 2 })).rejects.toThrow("has no task 2");
    await expect(retry(node.engine, id, { fromTask: -1 })).rejects.toThrow("has no task -1");
    expect(await statusesOf(database.sql, id)).toEqual(["failed", "failed", "cancelled"]);
  });
});

const failed: Outcome = { kind: "failed", error: { code: "function_error", message: "no" } };

function add({ request }: { request: { input: unknown } }): Outcome {
  return { kind: "succeeded", output: { n: (request.input as { n: number }).n + 1 } };
}

function teach({ runners }: TestNode): void {
  for (const runner of Object.values(runners)) {
    runner.on("add", add);
    runner.on("fail", () => failed);
  }
}

async function isFinal(id: string): Promise<void> {
  await until(`job ${id} is final`, async () => {
    const [status] = await statusesOf(database.sql, id);
    return status !== "queued" && status !== "running";
  });
}

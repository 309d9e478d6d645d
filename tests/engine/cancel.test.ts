import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import { cancel } from "../../src/engine/cancel.ts";
import { reap } from "../../src/engine/reap.ts";
import { readJob } from "../../src/engine/read.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

const webhook = { url: "http://127.0.0.1:9/", events: ["completed"], kind: "test" };

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { slots: 20 });
});

afterAll(async () => {
  await node.stop();
});

describe("cancelling", () => {
  test("a waiting job ends it at once, and it never starts", async () => {
    const { id } = await node.submitter.submit(jobOf({ runAt: new Date(Date.now() + 400), webhook }));
    expect(await cancel(node.engine, id)).toBe("cancelled");
    expect(await statusesOf(database.sql, id)).toEqual(["cancelled", "cancelled"]);
    expect(await historyOf(database.sql, id)).toEqual(["status queued", "status cancelled", "completed cancelled"]);
    expect(await database.sql`SELECT 1 FROM deliveries WHERE job_id = ${id}`).toHaveLength(1);
    const job = await readJob(database.sql, id);
    expect(job?.error).toEqual({ code: "cancelled", message: "Cancelled" });
    await until("its message has been taken", async () => (await messagesOf(id)) === 0);
    expect(node.runner.started.some((request) => request.jobId === id)).toBe(false);
    expect(await cancel(node.engine, id)).toBe("final");
  });

  test("a held job ends it", async () => {
    const { id } = await node.submitter.submit(jobOf({ held: true }));
    expect(await cancel(node.engine, id)).toBe("cancelled");
    expect((await readJob(database.sql, id))?.held).toBe(false);
  });

  test("a running job stops it, however often it is asked", async () => {
    const { id } = await node.submitter.submit(jobOf({ target: "hold" }));
    await until("it runs", () => node.runner.isHolding(id));
    const answers = await Promise.all([cancel(node.engine, id), cancel(node.engine, id)]);
    expect(answers).toContain("stopping");
    expect(answers).not.toContain("cancelled");
    await until("it is cancelled", () => hasStatus(id, "cancelled"));
    expect(await runsOf(database.sql, id)).toEqual(["0/1 cancelled"]);
    expect(await cancel(node.engine, id)).toBe("final");
  });

  test("a job that another node runs stops it there", async () => {
    await using other = await openNode(database.address, { isStarted: false });
    const { id } = await node.submitter.submit(jobOf({ target: "hold" }));
    await until("it runs", () => node.runner.isHolding(id));
    expect(await cancel(other.engine, id)).toBe("stopping");
    await until("it is cancelled", () => hasStatus(id, "cancelled"), { withinMs: 1_500 });
  });

  test("is heard with the next renewal where the notification was lost", async () => {
    await using deaf = await openNode(database.address, { lease: { renewEveryMs: 200 }, isStarted: false });
    deaf.engine.lane = deaf.worker;
    await deaf.node.start();
    deaf.worker.start();
    const { id } = await deaf.submitter.submit(jobOf({ target: "hold" }));
    await until("it runs", () => deaf.runner.isHolding(id) || node.runner.isHolding(id));
    await database.sql`UPDATE tasks SET stop_reason = 'cancelled', node_id = node_id WHERE job_id = ${id}`;
    await until("it is cancelled", () => hasStatus(id, "cancelled"), { withinMs: 5_000 });
  });

  test("an unknown job is refused", async () => {
    await expect(cancel(node.engine, "nobody")).rejects.toThrow("There is no job nobody");
  });

  test("while it finishes leaves one end, and the answer fits it", async () => {
    node.runner.on("short", async () => {
      await Bun.sleep(Math.random() * 4);
      return { kind: "succeeded", output: 1 };
    });
    const fates = await Promise.all(
      Array.from({ length: 60 }, async (_, at) => {
        const { id } = await node.submitter.submit(jobOf({ target: "short", ...(at % 2 === 0 ? { webhook } : {}) }));
        await Bun.sleep(Math.random() * 4);
        return { id, answer: await cancel(node.engine, id) };
      }),
    );
    for (const { id, answer } of fates) {
      const status = await until(`job ${id} is final`, async () => {
        const [ofJob] = await statusesOf(database.sql, id);
        return ofJob === "succeeded" || ofJob === "cancelled" ? ofJob : null;
      });
      if (answer === "cancelled") expect(status).toBe("cancelled");
      const ends = (await historyOf(database.sql, id)).filter((line) => line.startsWith("completed"));
      expect(ends).toEqual([`completed ${status}`]);
    }
  });
});

describe("a cancel of a running job", () => {
  test("holds when its node vanishes before it could stop", async () => {
    const { id } = await node.submitter.submit(
      jobOf({ tasks: [taskOf("x", { runner: "script" })], runAt: new Date(Date.now() + 3_600_000) }),
    );
    await beginOnDeadNode(id);
    expect(await cancel(node.engine, id)).toBe("stopping");
    await reap(node.engine, "expired");
    expect(await statusesOf(database.sql, id)).toEqual(["cancelled", "cancelled"]);
    expect(await runsOf(database.sql, id)).toEqual(["0/1 lost"]);
    expect(await messagesOf(id)).toBe(0);
  });

  test("holds when the run fails and would be tried again", async () => {
    node.runner.on(
      "stubborn",
      async ({ stopped }) => {
        await stopped;
        return { kind: "failed", error: { code: "function_error", message: "on my own" } };
      },
      { isDeaf: true },
    );
    const { id } = await node.submitter.submit(jobOf({ tasks: [taskOf("stubborn", { maxAttempts: 5 })] }));
    await until("it runs", () => node.runner.started.some((request) => request.jobId === id));
    expect(await cancel(node.engine, id)).toBe("stopping");
    await until("it is cancelled", () => hasStatus(id, "cancelled"));
    expect(await runsOf(database.sql, id)).toEqual(["0/1 failed"]);
  });

  test("holds when its link of a chain succeeds all the same", async () => {
    node.runner.on(
      "deaf",
      async ({ stopped }) => {
        await stopped;
        return { kind: "succeeded", output: "kept" };
      },
      { isDeaf: true },
    );
    const { id } = await node.submitter.submit(jobOf({ tasks: [taskOf("deaf"), taskOf("echo"), taskOf("echo")] }));
    await until("it runs", () => node.runner.started.some((request) => request.jobId === id));
    expect(await cancel(node.engine, id)).toBe("stopping");
    await until("it is cancelled", () => hasStatus(id, "cancelled"));
    expect(await statusesOf(database.sql, id)).toEqual(["cancelled", "succeeded", "cancelled", "cancelled"]);
    const job = await readJob(database.sql, id);
    expect(job?.tasks[0]?.output).toBe("kept");
    expect((await historyOf(database.sql, id)).slice(-3)).toEqual([
      "result",
      "status cancelled",
      "completed cancelled",
    ]);
  });
});

/** As if a node that is gone by now had begun the job's task. */
async function beginOnDeadNode(id: string): Promise<void> {
  await using dead = await openNode(database.address, { isStarted: false, nodeId: `dead-${id}` });
  await database.sql`UPDATE pgboss.job SET start_after = now() WHERE data->>'j' = ${id}`;
  const { claimed } = await claim(dead.engine, "script", 10);
  expect(claimed.map((task) => task.jobId)).toEqual([id]);
}

async function hasStatus(id: string, status: string): Promise<boolean> {
  return (await statusesOf(database.sql, id))[0] === status;
}

async function messagesOf(id: string): Promise<number> {
  return (await database.sql`SELECT 1 FROM pgboss.job WHERE data->>'j' = ${id}`).length;
}

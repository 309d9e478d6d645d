import { beforeAll, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import { chainLeftMs } from "../../src/runners/container/chain-time.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf } from "../support/engine.ts";
import { scriptedFacts } from "../support/scripted-runner.ts";
import { until } from "../support/until.ts";

const hourMs = 3_600_000;

let database: TestDatabase;

beforeAll(async () => {
  database = await testDatabase();
});

describe("a node whose clock is behind the database's", () => {
  test("puts off the next attempt by the database's clock", async () => {
    await using node = await openNode(database.address, { isStarted: false });
    node.engine.view.clockAheadMs = hourMs;
    const { id } = await node.submitter.submit(jobOf({ tasks: [taskOf("x", { maxAttempts: 2, backoffS: 60 })] }));
    const [task] = (await claim(node.engine, "function", 1)).claimed;
    if (task?.jobId !== id) throw new Error("the job was not claimed");
    const error = { code: "function_error", message: "no" } as const;
    await node.finisher.finish(task, { kind: "failed", error }, scriptedFacts);
    const [message] = await database.sql<{ seconds: number }[]>`
      SELECT extract(epoch FROM start_after - now())::float8 AS seconds FROM pgboss.job WHERE data->>'j' = ${id}`;
    expect(message?.seconds).toBeWithin(3_600, 3_661);
  });

  test("tells its runs how far, which reckon with it where a time is the database's", async () => {
    // It does not ask for the time again meanwhile.
    const lease = { leaseMs: 600_000, renewEveryMs: 300_000, giveUpAfterMs: 400_000 };
    await using node = await openNode(database.address, { lease });
    node.engine.view.clockAheadMs = hourMs;
    const { id } = await node.submitter.submit(jobOf({ target: "hold" }));
    await until("it runs", () => node.runner.isHolding(id));
    const request = node.runner.started.find(({ jobId }) => jobId === id);
    if (request === undefined) throw new Error("there was no request");
    expect(Math.abs((request.clockAheadMs ?? 0) - hourMs)).toBeLessThan(60_000);
    const options = { deadlineMs: Date.now() + hourMs + 5_000 };
    expect(chainLeftMs({ ...request, clockAheadMs: hourMs, options })).toBeWithin(0, 5_001);
    node.runner.letGo(id);
  });
});

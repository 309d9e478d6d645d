import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cancel } from "../../src/engine/cancel.ts";
import { claim } from "../../src/engine/begin.ts";
import type { Claimed } from "../../src/engine/claimed.ts";
import { eventsAfter } from "../../src/engine/events.ts";
import type { TimedEvent } from "../../src/engine/history.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { gapsOf, historyOf } from "../support/job-rows.ts";
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

describe("appending", () => {
  test("by many jobs at once numbers the events of each from 1 without gaps", async () => {
    const tasks = await begun(20);
    await Promise.all(
      tasks.flatMap((task) =>
        Array.from({ length: 25 }, async (_, n) => {
          expect(await node.appender.append(task, logs(1 + (n % 4), `${n}`))).toBe(true);
        }),
      ),
    );
    for (const { jobId } of tasks) {
      expect(await gapsOf(database.sql, jobId)).toEqual([]);
      expect(await historyOf(database.sql, jobId)).toHaveLength(2 + 61);
    }
  });

  test("keeps the order of one run's calls", async () => {
    const [task] = await begun(1);
    for (let n = 0; n < 30; n++) await node.appender.append(task as Claimed, logs(2, `${n}`));
    const texts = (await eventsAfter(node.db.sql, task?.jobId ?? "", 2, 100)).map(
      (event) => JSON.parse(event.data).text,
    );
    expect(texts).toEqual(Array.from({ length: 30 }, (_, n) => [`${n}.0`, `${n}.1`]).flat());
  });

  test("by a run that lost its task writes nothing", async () => {
    const [task] = (await begun(1)) as [Claimed];
    await node.finisher.finish(task, { kind: "interrupted" }, scriptedFacts);
    const before = await historyOf(database.sql, task.jobId);
    expect(await node.appender.append(task, logs(3))).toBe(false);
    const [next] = (await claim(node.engine, "function", 1)).claimed as [Claimed];
    const [stale, fresh] = await Promise.all([
      node.appender.append(task, logs(3)),
      node.appender.append(next, logs(1)),
    ]);
    expect([stale, fresh]).toEqual([false, true]);
    expect(await historyOf(database.sql, task.jobId)).toEqual([...before, "status running", "log"]);
    expect(await gapsOf(database.sql, task.jobId)).toEqual([]);
  });

  test("after the end writes nothing", async () => {
    const [task] = (await begun(1)) as [Claimed];
    await node.finisher.finish(task, { kind: "succeeded", output: 1 }, scriptedFacts);
    expect(await node.appender.append(task, logs(1))).toBe(false);
    expect((await historyOf(database.sql, task.jobId)).at(-1)).toBe("completed succeeded");
  });

  test("of what cannot be stored is refused alone in its group", async () => {
    const tasks = await begun(10);
    const fates = await Promise.allSettled(
      tasks.map((task, at) => node.appender.append(task, at === 4 ? [{ kind: "log", task: 0, data: "{" }] : logs(1))),
    );
    expect(fates.map((fate) => fate.status).filter((status) => status === "rejected")).toHaveLength(1);
    for (const [at, { jobId }] of tasks.entries())
      expect(await historyOf(database.sql, jobId)).toHaveLength(at === 4 ? 2 : 3);
  });

  test("once more, after the answer to the first time was lost, writes once", async () => {
    const [task] = (await begun(1)) as [Claimed];
    const events = logs(3).map((event) => ({ ...event, at: "2026-01-01T00:00:00.000Z" }));
    expect(await node.appender.append(task, events)).toBe(true);
    expect(await node.appender.append(task, events, { isRepeat: true })).toBe(true);
    expect(await historyOf(database.sql, task.jobId)).toHaveLength(2 + 3);
    expect(await node.appender.append(task, logs(2, "never written"), { isRepeat: true })).toBe(true);
    expect(await historyOf(database.sql, task.jobId)).toHaveLength(2 + 3 + 2);
    expect(await gapsOf(database.sql, task.jobId)).toEqual([]);
  });
});

describe("reading", () => {
  test("begins after any number, within what was written together too", async () => {
    const [task] = (await begun(1)) as [Claimed];
    await node.appender.append(task, logs(7));
    for (let after = 0; after <= 9; after++) {
      const events = await eventsAfter(node.db.sql, task.jobId, after, 100);
      expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 9 - after }, (_, n) => after + 1 + n));
    }
  });

  test("gives data and times as they were written", async () => {
    const [task] = (await begun(1)) as [Claimed];
    const data = '{"n":12345678901234567890.10,"b":1,"a":"\\u0000","1":"\\ud800"}';
    await node.appender.append(task, [{ kind: "log", task: 0, data, at: "2026-01-02T03:04:05.678Z" }]);
    expect(await eventsAfter(node.db.sql, task.jobId, 2, 1)).toEqual([
      { seq: 3, task: 0, at: "2026-01-02T03:04:05.678Z", kind: "log", data },
    ]);
    const [first] = await eventsAfter(node.db.sql, task.jobId, 0, 1);
    expect(first?.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test("of a result gives its digits as they are", async () => {
    const [task] = (await begun(1)) as [Claimed];
    const outputJson = "12345678901234567890.1234567890";
    await node.finisher.finish(task, { kind: "succeeded", output: 0, outputJson }, scriptedFacts);
    const events = await eventsAfter(node.db.sql, task.jobId, 0, 100);
    expect(events.find((event) => event.kind === "result")?.data).toBe(`{"output":${outputJson}}`);
  });
});

test("events of a job that is cancelled while it runs stay before its end", async () => {
  const [task] = (await begun(1)) as [Claimed];
  await cancel(node.engine, task.jobId);
  const writing = Array.from({ length: 20 }, () => node.appender.append(task, logs(1)));
  await node.finisher.finish(task, { kind: "cancelled" }, scriptedFacts);
  await Promise.all(writing);
  expect((await historyOf(database.sql, task.jobId)).at(-1)).toBe("completed cancelled");
  expect(await gapsOf(database.sql, task.jobId)).toEqual([]);
});

async function begun(count: number): Promise<Claimed[]> {
  await Promise.all(Array.from({ length: count }, () => node.submitter.submit(jobOf())));
  return (await claim(node.engine, "function", count)).claimed;
}

function logs(count: number, text = "x"): TimedEvent[] {
  return Array.from({ length: count }, (_, n) => ({
    kind: "log",
    task: 0,
    data: JSON.stringify({ text: `${text}.${n}` }),
  }));
}

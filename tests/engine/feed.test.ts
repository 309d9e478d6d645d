import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cancel } from "../../src/engine/cancel.ts";
import { JobFeed } from "../../src/engine/feed.ts";
import type { JobEvent } from "../../src/engine/hub.ts";
import { retry } from "../../src/engine/requeue.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";
import { statusesOf } from "../support/job-rows.ts";
import type { ScriptedRun } from "../support/scripted-runner.ts";
import { until } from "../support/until.ts";

let database: TestDatabase;
let node: TestNode;
let other: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { slots: 10 });
  other = await openNode(database.address, { slots: 0 });
});

afterAll(async () => {
  await Promise.all([node.stop(), other.stop()]);
});

describe("a feed", () => {
  test("of an ended job replays all of it and ends", async () => {
    const id = await talking(30);
    await becomes(id, "succeeded");
    const events = await read(node, id, 0);
    expect(kindsOf(events)).toEqual(["status", "log", "status", "result", "completed"]);
    isWhole(events, 0);
    expect(await read(node, id, events.length)).toEqual([]);
  });

  for (const where of ["its own", "another"] as const)
    test(`on ${where} node replays, goes on live and ends with completed`, async () => {
      const reader = where === "its own" ? node : other;
      const run = scripted();
      const { id } = await node.submitter.submit(jobOf({ target: run.target }));
      const { sink } = await run.begun;
      for (let n = 0; n < 5; n++) sink.log("info", `${n}`);
      const live = read(reader, id, 0);
      for (let n = 5; n < 200; n++) {
        sink.log("info", `${n}`);
        if (n % 7 === 0) await Bun.sleep(1);
      }
      run.end();
      const events = await live;
      isWhole(events, 0);
      expect(events.filter((event) => event.kind === "log").map((event) => JSON.parse(event.data).text)).toEqual(
        Array.from({ length: 200 }, (_, n) => `${n}`),
      );
      expect(events.at(-1)?.kind).toBe("completed");
      expect(await read(reader, id, 0)).toEqual(events);
    });

  test("from any number on misses nothing and repeats nothing", async () => {
    const id = await talking(40);
    await becomes(id, "succeeded");
    const all = await read(node, id, 0);
    for (let after = 0; after <= all.length; after += 3) {
      const events = await read(node, id, after);
      expect(events).toEqual(all.slice(after));
    }
  });

  test("of 50 readers who come at different times is whole for each", async () => {
    const run = scripted();
    const { id } = await node.submitter.submit(jobOf({ target: run.target }));
    const { sink } = await run.begun;
    const readers: Promise<JobEvent[]>[] = [];
    for (let n = 0; n < 100; n++) {
      sink.log("info", `${n}`);
      if (n % 2 === 0) readers.push(read(n % 4 === 0 ? node : other, id, 0));
      await Bun.sleep(1);
    }
    run.end();
    const all = await Promise.all(readers);
    expect(all).toHaveLength(50);
    for (const events of all) {
      isWhole(events, 0);
      expect(events.filter((event) => event.kind === "log")).toHaveLength(100);
    }
    expect(node.engine.hub.listening).toBe(0);
  });

  test("of a slow reader buffers little and catches up from the database", async () => {
    const run = scripted();
    const { id } = await node.submitter.submit(jobOf({ target: run.target }));
    const { sink } = await run.begun;
    const feed = new JobFeed(node.engine, id, 0);
    const events = [...((await feed.next()) ?? [])];
    for (let n = 0; n < 5_000; n++) {
      sink.log("info", `${n}`);
      if (n % 100 === 0) await Bun.sleep(1);
    }
    run.end();
    await becomes(id, "succeeded");
    for (let page = await feed.next(); page !== null; page = await feed.next()) events.push(...page);
    feed.close();
    isWhole(events, 0);
    expect(events.filter((event) => event.kind === "log")).toHaveLength(5_000);
  });

  test("of a waiting job sees it start, and cancelled", async () => {
    const { id } = await node.submitter.submit(jobOf({ runAt: new Date(Date.now() + 3_600_000) }));
    const live = read(node, id, 0);
    const remote = read(other, id, 0);
    await Bun.sleep(5);
    await cancel(node.engine, id);
    for (const events of [await live, await remote]) {
      expect(events.map((event) => JSON.parse(event.data).status)).toEqual(["queued", "cancelled", "cancelled"]);
      expect(events.at(-1)?.kind).toBe("completed");
    }
  });

  test("of a retried job shows both turns", async () => {
    const { id } = await node.submitter.submit(jobOf());
    await becomes(id, "succeeded");
    const first = await read(node, id, 0);
    await retry(node.engine, id);
    const second = await read(node, id, first.length);
    expect(second.at(-1)?.kind).toBe("completed");
    isWhole(second, first.length);
    isWhole(await read(node, id, 0), 0);
  });

  test("of an unknown job ends at once", async () => {
    expect(await read(node, "nobody", 0)).toEqual([]);
  });

  test("that is closed ends, also while it waits", async () => {
    const { id } = await node.submitter.submit(jobOf({ held: true }));
    const feed = new JobFeed(node.engine, id, 1);
    const waiting = feed.next();
    await Bun.sleep(5);
    feed.close();
    expect(await waiting).toBeNull();
    expect(await feed.next()).toBeNull();
    expect(node.engine.hub.listening).toBe(0);
  });

  test("without notifications finds out by looking", async () => {
    await using deaf = await openNode(database.address, { isStarted: false });
    const run = scripted();
    const { id } = await node.submitter.submit(jobOf({ target: run.target }));
    const { sink } = await run.begun;
    const live = read(deaf, id, 0);
    await Bun.sleep(20);
    sink.log("info", "unheard");
    run.end();
    const events = await live;
    isWhole(events, 0);
    expect(events.at(-1)?.kind).toBe("completed");
  });
});

async function read({ engine }: TestNode, id: string, after: number): Promise<JobEvent[]> {
  const feed = new JobFeed(engine, id, after);
  const events: JobEvent[] = [];
  for (let page = await feed.next(); page !== null; page = await feed.next()) events.push(...page);
  feed.close();
  return events;
}

/** A target of its own whose run says what the test tells it to say. */
function scripted() {
  const target = crypto.randomUUID();
  const begun = Promise.withResolvers<ScriptedRun>();
  const ending = Promise.withResolvers<void>();
  node.runner.on(target, async (run) => {
    begun.resolve(run);
    await ending.promise;
    return { kind: "succeeded", output: null };
  });
  return { target, begun: begun.promise, end: () => ending.resolve() };
}

async function talking(lines: number): Promise<string> {
  const run = scripted();
  const { id } = await node.submitter.submit(jobOf({ target: run.target }));
  const { sink } = await run.begun;
  for (let n = 0; n < lines; n++) {
    sink.log("info", `${n}`);
    if (n % 5 === 0) await Bun.sleep(2);
  }
  run.end();
  return id;
}

function isWhole(events: JobEvent[], after: number): void {
  expect(events.map((event) => event.seq)).toEqual(events.map((_, at) => after + 1 + at));
}

/** The kinds in their order, neighbours of one kind once. */
function kindsOf(events: JobEvent[]): string[] {
  return events.map((event) => event.kind).filter((kind, at, kinds) => kind !== kinds[at - 1]);
}

async function becomes(id: string, status: string): Promise<void> {
  await until(`job ${id} is ${status}`, async () => (await statusesOf(database.sql, id))[0] === status);
}

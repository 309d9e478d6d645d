import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cancel } from "../../src/engine/cancel.ts";
import { waitFor, waitForExisting } from "../../src/engine/wait.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

let database: TestDatabase;
let node: TestNode;
let other: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address);
  other = await openNode(database.address, { slots: 0 });
});

afterAll(async () => {
  await Promise.all([node.stop(), other.stop()]);
});

describe("a waiter", () => {
  test("made before its job is submitted misses nothing", async () => {
    for (let n = 0; n < 50; n++) {
      const id = crypto.randomUUID();
      const wait = waitFor(node.engine, id);
      await node.submitter.submit(jobOf({ id, input: { n } }));
      expect(await wait.ended(5_000)).toEqual({ status: "succeeded", output: `{"n":${n}}`, error: null });
      wait.close();
    }
    expect(node.engine.hub.waiting).toBe(0);
  });

  test("on another node is woken by a notification, long before it would look", async () => {
    const { id } = await node.submitter.submit(jobOf({ target: "hold" }));
    await until("it runs", () => node.runner.isHolding(id));
    const waiting = waitForExisting(other.engine, id, 10_000);
    await until("it waits", () => other.engine.hub.waiting === 1);
    await Bun.sleep(20);
    const since = performance.now();
    node.runner.letGo(id);
    expect(await waiting).toMatchObject({ status: "succeeded" });
    expect(performance.now() - since).toBeLessThan(1_000);
  });

  test("that hears nothing looks by itself", async () => {
    await using deaf = await openNode(database.address, { isStarted: false });
    const { id } = await node.submitter.submit(jobOf({ target: "hold" }));
    await until("it runs", () => node.runner.isHolding(id));
    const waiting = waitForExisting(deaf.engine, id, 10_000);
    await until("it waits", () => deaf.engine.hub.waiting === 1);
    // Long enough for its first look, which must not be the one that finds the end.
    await Bun.sleep(100);
    node.runner.letGo(id);
    expect(await waiting).toMatchObject({ status: "succeeded", output: '"let go"' });
  });

  test("is told when its time is up, or nobody waits any more", async () => {
    const { id } = await node.submitter.submit(jobOf({ held: true }));
    expect(await waitForExisting(node.engine, id, 30)).toBeNull();
    const gone = new AbortController();
    const waiting = waitForExisting(node.engine, id, 60_000, gone.signal);
    await until("it waits", () => node.engine.hub.waiting === 1);
    gone.abort();
    expect(await waiting).toBeNull();
    expect(await waitForExisting(node.engine, id, 60_000, AbortSignal.abort())).toBeNull();
    expect(node.engine.hub.waiting).toBe(0);
  });

  test("of an ended job is answered at once, of an unknown one refused", async () => {
    const { id } = await node.submitter.submit(jobOf({ target: "unknown" }));
    await until("it has failed", async () => (await statusesOf(database.sql, id))[0] === "failed");
    const ended = await waitForExisting(other.engine, id, 0);
    expect(ended).toMatchObject({ status: "failed", output: null });
    expect(JSON.parse(ended?.error ?? "")).toEqual({ code: "function_error", message: "No script for unknown" });
    await expect(waitForExisting(node.engine, "nobody", 10)).rejects.toThrow("There is no job nobody");
  });

  test("is told when its job is lost with the database, and no earlier than that", async () => {
    const id = crypto.randomUUID();
    const wait = waitFor(node.engine, id);
    node.engine.hub.poke(id);
    await node.submitter.submit(jobOf({ id, held: true, tasks: [taskOf("echo"), taskOf("echo")] }));
    const ended = wait.ended(60_000);
    node.engine.hub.poke(id);
    expect(await Promise.race([ended, Bun.sleep(100).then(() => "waits")])).toBe("waits");
    await database.sql`DELETE FROM jobs WHERE id = ${id}`;
    await expect(ended).rejects.toMatchObject({ code: "unavailable" });
    wait.close();
  });

  test("leaves a node that stops, also when it has not begun to wait", async () => {
    await using stopping = await openNode(database.address, { isStarted: false });
    const wait = waitFor(stopping.engine, crypto.randomUUID());
    stopping.engine.hub.dismiss();
    expect(await wait.ended(60_000)).toBeNull();
    wait.close();
  });

  test("hears the same of a cancelled job here and elsewhere", async () => {
    for (const [status, tasks] of [
      ["cancelled", [taskOf("hold"), taskOf("echo")]],
      ["failed", [taskOf("unknown"), taskOf("echo")]],
    ] as const) {
      const id = crypto.randomUUID();
      const here = waitFor(node.engine, id);
      const there = waitFor(other.engine, id);
      await node.submitter.submit(jobOf({ id, tasks: [...tasks] }));
      if (status === "cancelled") {
        await until("it runs", () => node.runner.isHolding(id));
        await cancel(other.engine, id);
      }
      const [first, second] = await Promise.all([here.ended(8_000), there.ended(8_000)]);
      expect(first?.status).toBe(status);
      expect(second).toEqual(first);
      here.close();
      there.close();
    }
  });
});

test("200 waiters of different jobs on two nodes are all told", async () => {
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const id = crypto.randomUUID();
      const wait = waitFor((n % 2 === 0 ? node : other).engine, id);
      await (n % 3 === 0 ? other : node).submitter.submit(jobOf({ id, input: { n } }));
      const ended = await wait.ended(20_000);
      wait.close();
      return ended?.output;
    }),
  );
  expect(answers).toEqual(Array.from({ length: 200 }, (_, n) => `{"n":${n}}`));
});

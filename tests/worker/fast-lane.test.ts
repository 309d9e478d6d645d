import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readJob } from "../../src/engine/read.ts";
import { waitFor } from "../../src/engine/wait.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

let database: TestDatabase;
let node: TestNode;
const takeMessages = () => database.sql`SELECT count(*)::int AS count FROM written`;

beforeAll(async () => {
  database = await testDatabase();
  // Every message that is ever put leaves a trace, however soon it is claimed.
  await database.sql.unsafe(`CREATE TABLE written (job text);
    CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO written VALUES (NEW.data->>'j'); RETURN NEW; END $$;
    CREATE TRIGGER trace BEFORE INSERT ON pgboss.job_common FOR EACH ROW EXECUTE FUNCTION trace()`);
  node = await openNode(database.address, { slots: 2 });
  await warmUp(node);
});

afterAll(async () => {
  await node.stop();
});

describe("a job that comes to a free slot", () => {
  test("runs at once, without a message", async () => {
    const { id } = await node.submitter.submit(jobOf({ target: "hold" }));
    expect(await statusesOf(database.sql, id)).toEqual(["running", "running"]);
    expect(await historyOf(database.sql, id)).toEqual(["status running"]);
    expect(await wasQueued(id)).toBe(false);
    await until("it is held", () => node.runner.isHolding(id));
    node.runner.letGo(id);
    await becomes(id, "succeeded");
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
    const job = await readJob(database.sql, id);
    expect(job).toMatchObject({ attempts: 1, tasks: [{ run: { node: node.engine.nodeId, attempt: 1 } }] });
    expect(job?.started_at).not.toBeNull();
  });

  test("of a chain has all its links run so", async () => {
    const { id } = await node.submitter.submit(jobOf({ tasks: [taskOf("echo"), taskOf("echo"), taskOf("echo")] }));
    await becomes(id, "succeeded");
    expect(await wasQueued(id)).toBe(false);
  });

  test("gives its slot back when it turns out to be there already", async () => {
    const { id } = await node.submitter.submit(jobOf());
    for (let n = 0; n < 10; n++) expect(await node.submitter.submit(jobOf({ id }))).toMatchObject({ existing: true });
    await until("every slot is free", () => node.worker.slots().function?.used === 0);
    await becomes(id, "succeeded");
  });
});

describe("the slot of a link that has ended", () => {
  test("goes to the next link, not to what waits with less right to it", async () => {
    await using single = await openNode(database.address, { slots: 1 });
    node.worker.pause();
    await warmUp(single);
    const chain = jobOf({ tasks: [taskOf("hold"), taskOf("echo"), taskOf("echo")], priority: 1 });
    const { id } = await single.submitter.submit(chain);
    await until("its first link runs", () => single.runner.isHolding(id));
    const lower = await single.submitter.submit(jobOf({ priority: 2 }));
    single.runner.letGo(id);
    for (const each of [id, lower.id]) await becomes(each, "succeeded");
    const order = single.runner.started.map(
      ({ jobId, taskIndex }) => `${jobId === id ? "chain" : "lower"} ${taskIndex}`,
    );
    expect(order).toEqual(["chain 0", "chain 1", "chain 2", "lower 0"]);
    node.worker.resume();
    await warmUp(node);
  });

  test("goes on to the next link at once when nothing waits, though there is no other slot", async () => {
    await using single = await openNode(database.address, { slots: 1 });
    node.worker.pause();
    await warmUp(single);
    const { id } = await single.submitter.submit(jobOf({ tasks: [taskOf("echo"), taskOf("echo"), taskOf("echo")] }));
    await becomes(id, "succeeded");
    expect(await wasQueued(id)).toBe(false);
    await until("the slot is free", () => single.worker.slots().function?.used === 0);
    node.worker.resume();
    await warmUp(node);
  });
});

describe("a job goes through the queue", () => {
  test("when every slot is taken, and starts as soon as one is free", async () => {
    const running = await hold(2);
    const { id } = await node.submitter.submit(jobOf());
    expect(await statusesOf(database.sql, id)).toEqual(["queued", "queued"]);
    expect(await wasQueued(id)).toBe(true);
    const since = performance.now();
    letGo(running);
    await becomes(id, "succeeded");
    expect(performance.now() - since).toBeLessThan(900);
  });

  test("when others wait already, whatever its priority", async () => {
    const running = await hold(2);
    const waiting = await Promise.all(
      Array.from({ length: 5 }, () => node.submitter.submit(jobOf({ target: "hold" }))),
    );
    letGo(running);
    const late = await node.submitter.submit(jobOf({ priority: -5 }));
    expect(await wasQueued(late.id)).toBe(true);
    for (const { id } of waiting) {
      await until("it is held", () => node.runner.isHolding(id));
      node.runner.letGo(id);
    }
    await becomes(late.id, "succeeded");
    await warmUp(node);
  });

  test("when it is delayed, held, or limited by a key", async () => {
    const soon = await node.submitter.submit(jobOf({ runAt: new Date(Date.now() + 50) }));
    const keyed = await node.submitter.submit(jobOf({ concurrency: { key: "k", max: 1 } }));
    const held = await node.submitter.submit(jobOf({ held: true }));
    for (const { id } of [soon, keyed]) expect(await wasQueued(id)).toBe(true);
    expect(await wasQueued(held.id)).toBe(false);
    for (const { id } of [soon, keyed]) await becomes(id, "succeeded");
    await warmUp(node);
  });

  test("when the node cannot run it", async () => {
    await using picky = await openNode(database.address, { canRun: (_, target) => target !== "elsewhere", slots: 2 });
    await warmUp(picky);
    node.runner.on("elsewhere", () => ({ kind: "succeeded", output: "ran" }));
    picky.runner.on("elsewhere", () => ({ kind: "succeeded", output: "ran" }));
    const { id } = await picky.submitter.submit(jobOf({ target: "elsewhere" }));
    expect(await wasQueued(id)).toBe(true);
    await becomes(id, "succeeded");
  });

  for (const [why, set, reset] of [
    [
      "its queue is paused",
      () => database.sql`INSERT INTO pauses (queue, by) VALUES ('function', 'test')`,
      () => database.sql`DELETE FROM pauses`,
    ],
    [
      "the node is in maintenance",
      () => database.sql`UPDATE nodes SET maintenance = true WHERE id = ${node.engine.nodeId}`,
      () => database.sql`UPDATE nodes SET maintenance = false WHERE id = ${node.engine.nodeId}`,
    ],
    [
      "the node is drained",
      () => database.sql`UPDATE nodes SET draining = true WHERE id = ${node.engine.nodeId}`,
      () => database.sql`UPDATE nodes SET draining = false WHERE id = ${node.engine.nodeId}`,
    ],
  ] as const)
    test(`when ${why}, and waits until that is over`, async () => {
      await set();
      await tellNodes();
      await until("the node knows", () => node.engine.view.paused.has("function") || node.engine.view.maintenance);
      const { id } = await node.submitter.submit(jobOf());
      expect(await wasQueued(id)).toBe(true);
      await Bun.sleep(1_200);
      expect(await statusesOf(database.sql, id)).toEqual(["queued", "queued"]);
      await reset();
      await tellNodes();
      await becomes(id, "succeeded");
      await warmUp(node);
    });
});

test("a node that starts in maintenance takes nothing until it ends", async () => {
  await database.sql`INSERT INTO nodes (id, boot_id, version, lease_until, maintenance) VALUES ('resting', gen_random_uuid(), '1', now(), true)`;
  await database.sql`INSERT INTO pauses (queue, by) VALUES ('script', 'test')`;
  await using resting = await openNode(database.address, { nodeId: "resting" });
  node.worker.pause();
  const { id } = await resting.submitter.submit(jobOf());
  await Bun.sleep(1_200);
  expect(await statusesOf(database.sql, id)).toEqual(["queued", "queued"]);
  await database.sql`UPDATE nodes SET maintenance = false WHERE id = 'resting'`;
  await tellNodes();
  await becomes(id, "succeeded");
  node.worker.resume();
  await database.sql`DELETE FROM pauses`;
});

test("one job after the other takes the fast lane each time, and 64 at once never more slots than there are", async () => {
  await warmUp(node);
  const before = (await takeMessages())[0]?.count ?? 0;
  for (let n = 0; n < 50; n++) {
    const id = crypto.randomUUID();
    const wait = waitFor(node.engine, id);
    await node.submitter.submit(jobOf({ id }));
    expect(await wait.ended(5_000)).toMatchObject({ status: "succeeded" });
    wait.close();
    await until("its slot is free", () => node.worker.slots().function?.used === 0);
  }
  expect((await takeMessages())[0]?.count).toBe(before);
  node.runner.mostAtOnce = 0;
  const receipts = await Promise.all(Array.from({ length: 64 }, () => node.submitter.submit(jobOf())));
  for (const { id } of receipts) await becomes(id, "succeeded");
  expect(node.runner.mostAtOnce).toBeLessThanOrEqual(2);
});

/** Until the node has seen that nothing waits. */
async function warmUp(one: TestNode): Promise<void> {
  await until("the fast lane is open", () => {
    if (!one.worker.reserve("function", "echo")) return false;
    one.worker.release("function");
    return true;
  });
}

async function hold(count: number): Promise<string[]> {
  await warmUp(node);
  const receipts = await Promise.all(
    Array.from({ length: count }, () => node.submitter.submit(jobOf({ target: "hold" }))),
  );
  await until("all are held", () => receipts.every(({ id }) => node.runner.isHolding(id)));
  return receipts.map(({ id }) => id);
}

function letGo(ids: string[]): void {
  for (const id of ids) node.runner.letGo(id);
}

async function wasQueued(id: string): Promise<boolean> {
  return (await database.sql`SELECT 1 FROM written WHERE job = ${id}`).length > 0;
}

async function tellNodes(): Promise<void> {
  await database.sql`SELECT pg_notify('fairlead', 'nodes:-:')`;
}

async function becomes(id: string, status: string): Promise<void> {
  await until(`job ${id} is ${status}`, async () => (await statusesOf(database.sql, id))[0] === status);
}

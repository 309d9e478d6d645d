import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readJob } from "../../src/engine/read.ts";
import type { Database } from "../../src/db/client.ts";
import { writeGroup } from "../../src/engine/submit-group.ts";
import { prepare } from "../../src/engine/submit-rows.ts";
import type { Receipt, Submission } from "../../src/engine/submission.ts";
import { Unwritten } from "../../src/engine/unwritten.ts";
import { waitFor } from "../../src/engine/wait.ts";
import type { Outcome } from "../../src/runners/contract.ts";
import { noFacts } from "../../src/worker/run-task.ts";
import { type DatabaseProxy, openDatabaseProxy } from "../support/database-proxy.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { watching } from "../support/failing-database.ts";
import { gapsOf, historyOf, runsOf, statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

/** Whoever holds this lock holds up the writes of clients that wait. */
const gateKey = 4_242;

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  // Whatever is written of a job leaves a trace, however short it stands.
  await database.sql.unsafe(`CREATE TABLE written (at serial, job text, op text, status text);
    CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN
        IF NEW.client = 'waits' THEN PERFORM pg_advisory_xact_lock_shared(${gateKey}); END IF;
        INSERT INTO written (job, op, status) VALUES (NEW.id, lower(TG_OP), NEW.status); RETURN NEW; END $$;
    CREATE TRIGGER trace BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION trace()`);
  node = await openNode(database.address, { slots: 4 });
});

afterAll(async () => {
  await node.stop();
  await database.drop();
});

beforeEach(async () => {
  await ended(node, jobOf());
});

describe("a job whose caller waits for its end", () => {
  test("is written once, with its end, when it is short", async () => {
    const submission = toldAtEnd({
      input: { n: 1 },
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    });
    const receipt = await node.submitter.submit(submission);
    expect(await writesOf(receipt.id)).toEqual(["insert succeeded"]);
    expect(await historyOf(database.sql, receipt.id)).toEqual([
      "status running",
      "status succeeded",
      "result",
      "completed succeeded",
    ]);
    expect(await runsOf(database.sql, receipt.id)).toEqual(["0/1 succeeded"]);
    expect(await gapsOf(database.sql, receipt.id)).toEqual([]);
  });

  test("leaves the same rows as one that is written first", async () => {
    const input = { name: "Ada", list: [1, "two"] };
    const ahead = await ended(node, toldAtEnd({ input, priority: 3 }));
    const first = await ended(node, jobOf({ input, priority: 3 }));
    expect(await rowsOf(ahead)).toEqual(await rowsOf(first));
  });

  test("is told of it as soon as it is committed", async () => {
    const submission = toldAtEnd({ input: { n: 2 } });
    const wait = waitFor(node.engine, submission.id ?? "");
    await node.submitter.submit(submission);
    expect(await wait.ended(10_000)).toEqual({ status: "succeeded", output: '{"n":2}', error: null });
    wait.close();
  });

  test("is seen as running when it lasts, and can be cancelled", async () => {
    const submission = toldAtEnd({ target: "hold" });
    const { id } = await node.submitter.submit(submission);
    expect(await statusesOf(database.sql, id)).toEqual(["running", "running"]);
    node.worker.stop(id, "cancelled");
    await becomes(id, "cancelled");
    expect(await writesOf(id)).toEqual(["insert running", "update cancelled"]);
  });

  test("is written as running before anything it tells", async () => {
    node.runner.on("talk", async ({ sink }) => {
      sink.log("info", "first");
      await Bun.sleep(15);
      sink.log("info", "second");
      return { kind: "succeeded", output: null };
    });
    const { id } = await ended(node, toldAtEnd({ target: "talk" }));
    expect((await writesOf(id))[0]).toBe("insert running");
    expect(await historyOf(database.sql, id)).toEqual([
      "status running",
      "log",
      "log",
      "status succeeded",
      "result",
      "completed succeeded",
    ]);
    expect(await gapsOf(database.sql, id)).toEqual([]);
  });

  test("gets its next attempt when the first one fails", async () => {
    let tries = 0;
    node.runner.on("second-try", () => {
      tries++;
      if (tries === 1) throw new Error("not yet");
      return { kind: "succeeded", output: tries };
    });
    const submission = { ...toldAtEnd(), tasks: [taskOf("second-try", { maxAttempts: 2 })] };
    const { id } = await node.submitter.submit(submission);
    await becomes(id, "succeeded");
    expect(await runsOf(database.sql, id)).toEqual(["0/1 failed", "0/2 succeeded"]);
  });

  test("fails by name when its result cannot be stored", async () => {
    node.runner.on("nul", () => ({ kind: "succeeded", output: null, outputJson: '"\\u0000' }));
    const { id } = await node.submitter.submit(toldAtEnd({ target: "nul" }));
    expect(await statusesOf(database.sql, id)).toEqual(["failed", "failed"]);
    expect((await readJob(database.sql, id))?.error).toMatchObject({ message: "The result could not be stored" });
  });

  test("does not take the others of its group with it when its result cannot be stored", async () => {
    node.runner.on("nul", () => ({ kind: "succeeded", output: null, outputJson: "{" }));
    const targets = ["nul", "echo", "echo"];
    const receipts = await Promise.all(targets.map((target) => node.submitter.submit(toldAtEnd({ target }))));
    const statuses = await Promise.all(receipts.map(async ({ id }) => (await readJob(database.sql, id))?.status));
    expect(statuses).toEqual(["failed", "succeeded", "succeeded"]);
  });

  test("is queued again, uncharged, when its node stops", async () => {
    const own = await testDatabase();
    const first = await openNode(own.address, { slots: 1 });
    const before = await first.submitter.submit(jobOf());
    await until("it has begun to work", async () => (await readJob(own.sql, before.id))?.status === "succeeded");
    const { id } = await first.submitter.submit(toldAtEnd({ target: "hold" }));
    await first.stop();
    expect(await statusesOf(own.sql, id)).toEqual(["queued", "queued"]);
    expect(await runsOf(own.sql, id)).toEqual(["0/1 interrupted"]);
    await using second = await openNode(own.address, { slots: 1 });
    await until("it is held", () => second.runner.isHolding(id));
    second.runner.letGo(id);
    await until("it has ended", async () => (await readJob(own.sql, id))?.status === "succeeded");
  });
});

describe("a job is written first", () => {
  test("when anything is told before its end", async () => {
    const { id } = await ended(node, jobOf());
    expect((await writesOf(id))[0]).toBe("insert running");
  });

  test("when it has more to it than one task", async () => {
    const more: Partial<Submission>[] = [
      { tasks: [taskOf("echo"), taskOf("echo")] },
      { tags: ["a"] },
      { idempotencyKey: "once" },
      { dedup: { key: "once", while: "active" } },
      { concurrency: { key: "one", max: 1 } },
      { details: { a: 1 } },
    ];
    for (const one of more) {
      const { id } = await ended(node, toldAtEnd(one));
      expect(await writesOf(id)).not.toContain("insert succeeded");
    }
  });

  test("when the database has not been heard of for a while", async () => {
    node.engine.view.wroteAtMs -= 60_000;
    const { id } = await ended(node, toldAtEnd());
    expect((await writesOf(id))[0]).toBe("insert running");
  });

  test("when every slot is taken", async () => {
    const held = await Promise.all(Array.from({ length: 4 }, () => node.submitter.submit(jobOf({ target: "hold" }))));
    const submitted = node.submitter.submit(toldAtEnd());
    const { id } = await submitted;
    expect(await statusesOf(database.sql, id)).toEqual(["queued", "queued"]);
    for (const one of held) {
      await until("it is held", () => node.runner.isHolding(one.id));
      node.runner.letGo(one.id);
    }
    await becomes(id, "succeeded");
  });
});

describe("a database that is lost", () => {
  test("in the middle of a short run has its result when it is back, once", async () => {
    await using proxy = await openDatabaseProxy(database.address);
    await using other = await openNode(proxy.address, { slots: 4 });
    await beginsAhead(other);
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    other.runner.on("cut", async () => {
      begun.resolve();
      await goOn.promise;
      return { kind: "succeeded", output: "kept" };
    });
    const submitted = other.submitter.submit(toldAtEnd({ target: "cut" }));
    proxy.cut();
    await begun.promise;
    goOn.resolve();
    await Bun.sleep(300);
    await proxy.restore();
    const { id } = await submitted;
    await becomes(id, "succeeded");
    expect((await readJob(database.sql, id))?.result).toBe("kept");
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
  });
});

describe("an answer that is lost", () => {
  test("to the only write of a short job leaves one record, and its caller told", async () => {
    await using proxy = await openDatabaseProxy(database.address);
    await using other = await openNode(proxy.address, { slots: 4 });
    await beginsAhead(other);
    const submissions = Array.from({ length: 4 }, (_, n) => toldAtEnd({ client: "waits", input: { n } }));
    const waits = submissions.map(({ id }) => waitFor(other.engine, id ?? ""));
    const submitted = await losingTheAnswer(proxy, () =>
      Promise.all(submissions.map((one) => other.submitter.submit(one))),
    );
    const ends = await Promise.all(waits.map((wait) => wait.ended(20_000)));
    expect(ends.map((end) => end?.output)).toEqual(submissions.map(({ inputJson }) => inputJson));
    for (const wait of waits) wait.close();
    for (const { id } of submitted) {
      expect(await writesOf(id)).toEqual(["insert succeeded"]);
      expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
    }
    await until("all slots are free", () => other.worker.slots()["function"]?.used === 0);
  });

  test("to the first write of a longer one does not end it twice", async () => {
    await using proxy = await openDatabaseProxy(database.address);
    await using other = await openNode(proxy.address, { slots: 4 });
    await beginsAhead(other);
    const submission = toldAtEnd({ client: "waits", target: "hold" });
    const wait = waitFor(other.engine, submission.id ?? "");
    const { id } = await losingTheAnswer(proxy, () => other.submitter.submit(submission));
    other.runner.letGo(id);
    expect(await wait.ended(20_000)).toMatchObject({ status: "succeeded", output: '"let go"' });
    wait.close();
    const writes = await writesOf(id);
    expect(writes.filter((write) => !write.startsWith("insert"))).toEqual(["update succeeded"]);
    expect(await runsOf(database.sql, id)).toEqual(["0/1 succeeded"]);
  });
});

/** What `work` writes is committed, but the connection ends before the answer. */
async function losingTheAnswer<T>(proxy: DatabaseProxy, work: () => Promise<T>): Promise<T> {
  const gate = await database.sql.reserve();
  await gate`SELECT pg_advisory_lock(${gateKey})`;
  const done = work();
  await until("the write is held up", async () => (await atGate({ hasPassed: false })) > 0);
  proxy.swallow(true);
  await gate`SELECT pg_advisory_unlock(${gateKey})`;
  gate.release();
  await until("it is committed", async () => {
    const [waiting, passed] = [await atGate({ hasPassed: false }), await atGate({ hasPassed: true })];
    return waiting + passed === 0;
  });
  proxy.cut();
  proxy.swallow(false);
  await proxy.restore();
  return done;
}

/** Writes that have passed the gate, or wait before it. */
async function atGate({ hasPassed }: { hasPassed: boolean }): Promise<number> {
  const [row] = await database.sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM pg_locks
    WHERE locktype = 'advisory' AND objid = ${gateKey} AND mode = 'ShareLock' AND granted = ${hasPassed}
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  return row?.count ?? 0;
}

test("a job that was written as running after all is ended by its run", async () => {
  const entry = prepare(node.engine, toldAtEnd());
  const { start } = entry;
  if (start === null) throw new Error("there was no free slot");
  const unwritten = new Unwritten(entry, async () => undefined);
  entry.isBegun = true;
  await writeGroup(node.engine, [{ submission: entry.submission, begun: entry }]);
  const outcome: Outcome = { kind: "succeeded", output: "its own" };
  expect(await node.finisher.finish({ ...start, unwritten }, outcome, noFacts)).toBe("recorded");
  node.worker.release("function");
  expect((await readJob(database.sql, entry.id))?.result).toBe("its own");
  expect(await writesOf(entry.id)).toEqual(["insert running", "update succeeded"]);
});

test("after a write that failed nothing begins ahead until one succeeds", async () => {
  let isAway = false;
  const through = (db: Database) =>
    watching(db, (text) => {
      if (isAway && /INSERT INTO jobs/.test(text))
        throw Object.assign(new Error("away"), { code: "CONNECTION_CLOSED" });
    });
  await using other = await openNode(database.address, { slots: 4, through });
  await beginsAhead(other);
  isAway = true;
  const first = other.submitter.submit(toldAtEnd());
  await until("its first write has failed", () => other.engine.view.wroteAtMs < 0);
  await expect(other.submitter.submit(toldAtEnd())).rejects.toMatchObject({ code: "unavailable" });
  isAway = false;
  await becomes((await first).id, "succeeded");
  expect(await writesOf((await ended(other, toldAtEnd())).id)).toEqual(["insert succeeded"]);
});

function toldAtEnd(more: Parameters<typeof jobOf>[0] = {}): Submission {
  return jobOf({ id: Bun.randomUUIDv7(), isToldAtEnd: true, ...more });
}

async function ended(on: TestNode, submission: Submission): Promise<Receipt> {
  const receipt = await on.submitter.submit(submission);
  await becomes(receipt.id, "succeeded");
  return receipt;
}

/** A node that has just started looks first whether something waits. */
async function beginsAhead(on: TestNode): Promise<void> {
  await until("it writes short jobs once", async () => {
    const receipts = await Promise.all(Array.from({ length: 4 }, () => ended(on, toldAtEnd())));
    const writes = await Promise.all(receipts.map(({ id }) => writesOf(id)));
    return writes.every(([first]) => first === "insert succeeded");
  });
}

async function becomes(id: string, status: string): Promise<void> {
  await until(`job ${id} is ${status}`, async () => (await readJob(database.sql, id))?.status === status);
}

/** How the job's row was written, oldest first; that its events were counted is left out. */
async function writesOf(id: string): Promise<string[]> {
  const rows = await database.sql<
    { write: string }[]
  >`SELECT op || ' ' || status AS write FROM written WHERE job = ${id} ORDER BY at`;
  return rows
    .map(({ write }) => write)
    .filter((write, at, all) => write !== "update running" || all[at - 1] === undefined);
}

/** Everything that is stored of a job, without what is its own: ids and times. */
async function rowsOf({ id }: Receipt): Promise<unknown> {
  const [row] = await database.sql<{ job: object; task: object; run: object }[]>`
    SELECT row_to_json(j) AS job, row_to_json(k) AS task, row_to_json(r) AS run
    FROM jobs j JOIN tasks k ON k.job_id = j.id JOIN runs r ON r.job_id = j.id WHERE j.id = ${id}`;
  const { job = {}, task = {}, run = {} } = row ?? {};
  return { job: shapeOf(job), task: shapeOf(task), run: shapeOf(run) };
}

const own = /^(id|job_id|run_id|facts|.*_at)$/;

/** Of what is a row's own only whether it is there. */
function shapeOf(row: object): object {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, own.test(name) ? value !== null : value]),
  );
}

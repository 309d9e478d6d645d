import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readJob } from "../../src/engine/read.ts";
import { writeGroup } from "../../src/engine/submit-group.ts";
import type { Submission } from "../../src/engine/submission.ts";
import { EngineError } from "../../src/errors.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
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

describe("a submission", () => {
  test("is answered once its job is committed", async () => {
    const { id, existing } = await node.submitter.submit(jobOf({ input: { name: "Ada" } }));
    expect(existing).toBe(false);
    const [row] = await database.sql`SELECT surface, client, input::text FROM jobs WHERE id = ${id}`;
    expect(row).toEqual({ surface: "api", client: "test", input: '{"name":"Ada"}' });
  });

  test("keeps the bytes of its input", async () => {
    const inputJson = '{"b":1,"a":12345678901234567890.10,"nul":"\\u0000","10":1,"2":2}';
    const { id } = await node.submitter.submit(jobOf({ inputJson }));
    const [row] = await database.sql`SELECT input::text FROM jobs WHERE id = ${id}`;
    expect(row?.input).toBe(inputJson);
  });

  test("writes many concurrent ones in few transactions", async () => {
    const before = await transactions();
    const receipts = await Promise.all(Array.from({ length: 400 }, () => node.submitter.submit(jobOf({ held: true }))));
    expect(new Set(receipts.map((receipt) => receipt.id)).size).toBe(400);
    const [row] =
      await database.sql`SELECT count(*)::int AS count FROM jobs WHERE id = ANY(${receipts.map((r) => r.id)})`;
    expect(row?.count).toBe(400);
    expect((await transactions()) - before).toBeLessThan(60);
  });

  test("that cannot be stored fails alone in its group", async () => {
    const good = Array.from({ length: 30 }, () => node.submitter.submit(jobOf()));
    const poison = [
      node.submitter.submit(jobOf({ client: "nul \u0000" })),
      node.submitter.submit(jobOf({ inputJson: "{not json" })),
      node.submitter.submit(jobOf({ details: { circle: 1n } })),
      node.submitter.submit(jobOf({ runAt: new Date(Number.NaN) })),
      node.submitter.submit(jobOf({ tasks: [] })),
    ];
    const more = Array.from({ length: 30 }, () => node.submitter.submit(jobOf()));
    for (const fate of await Promise.allSettled(poison)) {
      expect(fate.status === "rejected" && fate.reason).toBeInstanceOf(EngineError);
      expect(fate.status === "rejected" && fate.reason.code).toBe("unavailable");
    }
    const receipts = await Promise.all([...good, ...more]);
    for (const { id } of receipts) await until(`job ${id} has succeeded`, () => hasStatus(id, "succeeded"));
    await until("every slot is free again", () => node.worker.slots().function?.used === 0);
  });

  test("that cannot be stored, alone in its group, is told the same", async () => {
    const fault = await node.submitter.submit(jobOf({ client: "nul \u0000" })).catch((thrown: unknown) => thrown);
    expect(fault).toBeInstanceOf(EngineError);
    expect((fault as EngineError).code).toBe("unavailable");
    expect((fault as EngineError).message).not.toContain("\\u0000");
  });
});

describe("equal ids", () => {
  test("in one group make one job", async () => {
    const id = crypto.randomUUID();
    const receipts = await Promise.all(Array.from({ length: 20 }, () => node.submitter.submit(jobOf({ id }))));
    expect(receipts.map((receipt) => receipt.id)).toEqual(Array.from({ length: 20 }, () => id));
    expect(receipts.filter((receipt) => !receipt.existing)).toHaveLength(1);
    await until("it has succeeded", () => hasStatus(id, "succeeded"));
    expect(node.runner.started.filter((request) => request.jobId === id)).toHaveLength(1);
    await until("every slot is free again", () => node.worker.slots().function?.used === 0);
  });

  test("on two nodes at once make one job", async () => {
    await using other = await openNode(database.address);
    const ids: string[] = Array.from({ length: 20 }, () => crypto.randomUUID());
    const receipts = await Promise.all(
      ids.flatMap((id, at) => {
        const nodes = at % 2 === 0 ? [node, other] : [other, node];
        return nodes.map(({ submitter }) => submitter.submit(jobOf({ id, fingerprint: "same" })));
      }),
    );
    expect(receipts.filter((receipt) => !receipt.existing)).toHaveLength(20);
    for (const id of ids) await until(`job ${id} has succeeded`, () => hasStatus(id, "succeeded"));
    const runs = [...node.runner.started, ...other.runner.started].filter((request) => ids.includes(request.jobId));
    expect(runs).toHaveLength(20);
  });

  test("in groups that are written at the same time do not stand in each other's way", async () => {
    for (let round = 0; round < 10; round++) {
      const group = Array.from({ length: 100 }, (_, at) => {
        const name = `${round}-${(at * 37) % 100}`;
        const submission = at % 2 === 0 ? jobOf({ id: `id-${name}` }) : jobOf({ idempotencyKey: `key-${name}` });
        return { submission: { ...submission, held: true }, begun: null };
      });
      const groups = [group, group.toReversed(), group, group.toReversed()];
      const written = await Promise.all(groups.map((one) => writeGroup(node.engine, one)));
      const ids = written.map((one) => one.map((receipt) => "id" in receipt && receipt.id));
      expect(ids.map((one) => one.toSorted())).toEqual(groups.map(() => (ids[0] ?? []).toSorted()));
      expect(written.flat().filter((receipt) => "existing" in receipt && !receipt.existing)).toHaveLength(100);
    }
  });

  test("with another body are a conflict", async () => {
    const id = crypto.randomUUID();
    await node.submitter.submit(jobOf({ id, fingerprint: "one" }));
    expect(await node.submitter.submit(jobOf({ id, fingerprint: "one" }))).toEqual({ id, existing: true, by: "id" });
    await expectRefusal(node.submitter.submit(jobOf({ id, fingerprint: "two" })), "conflict");
  });
});

describe("an idempotency key", () => {
  test("returns the same job for the same request, and refuses another", async () => {
    const idempotencyKey = crypto.randomUUID();
    const [first, second] = await Promise.all([
      node.submitter.submit(jobOf({ idempotencyKey, fingerprint: "one" })),
      node.submitter.submit(jobOf({ idempotencyKey, fingerprint: "one" })),
    ]);
    expect([first?.existing, second?.existing].toSorted()).toEqual([false, true]);
    expect(second?.id).toBe(first?.id ?? "");
    await expectRefusal(node.submitter.submit(jobOf({ idempotencyKey, fingerprint: "two" })), "idempotency_mismatch");
  });

  test("is each client's own", async () => {
    const idempotencyKey = crypto.randomUUID();
    const one = await node.submitter.submit(jobOf({ idempotencyKey, client: "one" }));
    const two = await node.submitter.submit(jobOf({ idempotencyKey, client: "two" }));
    expect(two).toMatchObject({ existing: false });
    expect(two.id).not.toBe(one.id);
  });
});

describe("a dedup key", () => {
  test("of 20 at once makes one job while it is active, and another afterwards", async () => {
    const dedup = { key: crypto.randomUUID(), while: "active" as const };
    const submission = jobOf({ target: "hold", dedup });
    const receipts = await Promise.all(Array.from({ length: 20 }, () => node.submitter.submit(submission)));
    expect(new Set(receipts.map((receipt) => receipt.id)).size).toBe(1);
    expect(receipts.filter((receipt) => receipt.existing && receipt.by === "dedup")).toHaveLength(19);
    const id = receipts[0]?.id ?? "";
    await until("it is held", () => node.runner.isHolding(id));
    node.runner.letGo(id);
    await until("it has succeeded", () => hasStatus(id, "succeeded"));
    const after = await node.submitter.submit(jobOf({ dedup }));
    expect(after.existing).toBe(false);
  });

  test("of two nodes at once makes one job", async () => {
    await using other = await openNode(database.address);
    const dedup = { key: crypto.randomUUID(), while: 60 };
    const receipts = await Promise.all(
      Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? node : other).submitter.submit(jobOf({ dedup }))),
    );
    expect(new Set(receipts.map((receipt) => receipt.id)).size).toBe(1);
  });

  test("for some seconds outlives its job, and ends by itself", async () => {
    const dedup = { key: crypto.randomUUID(), while: 1 };
    const first = await node.submitter.submit(jobOf({ dedup }));
    await until("it has succeeded", () => hasStatus(first.id, "succeeded"));
    expect(await node.submitter.submit(jobOf({ dedup }))).toEqual({ id: first.id, existing: true, by: "dedup" });
    const next = await until("the key is free", async () => {
      const receipt = await node.submitter.submit(jobOf({ dedup }));
      return receipt.existing ? null : receipt;
    });
    expect(next.id).not.toBe(first.id);
  });
});

describe("submitting together", () => {
  test("writes all or none", async () => {
    const taken = (await node.submitter.submit(jobOf())).id;
    const ids = Array.from({ length: 5 }, () => crypto.randomUUID());
    const written = await node.submitter.submitTogether(ids.map((id) => jobOf({ id })));
    expect(written.map((receipt) => receipt.id)).toEqual(ids);
    for (const id of ids) await until(`job ${id} has succeeded`, () => hasStatus(id, "succeeded"));
    const others = Array.from({ length: 5 }, () => crypto.randomUUID());
    await expectRefusal(
      node.submitter.submitTogether([...others.map((id) => jobOf({ id })), jobOf({ id: taken })]),
      "conflict",
    );
    await expectRefusal(
      node.submitter.submitTogether([...others.map((id) => jobOf({ id })), jobOf({ inputJson: "{" })]),
      "unavailable",
    );
    await expectRefusal(node.submitter.submitTogether(others.map(() => jobOf({ id: others[0] ?? "" }))), "conflict");
    expect(await database.sql`SELECT id FROM jobs WHERE id = ANY(${others})`).toHaveLength(0);
    await until("every slot is free again", () => node.worker.slots().function?.used === 0);
  });

  test("refuses dedup keys, which it could not honour", async () => {
    const submissions: Submission[] = [jobOf({ dedup: { key: "x", while: "active" } })];
    await expectRefusal(node.submitter.submitTogether(submissions), "unsupported");
  });
});

describe("a full queue", () => {
  test("refuses what is more than may wait, with a time to come back", async () => {
    await using small = await openNode(database.address, { queueMax: 5, slots: 1 });
    const script = () =>
      jobOf({ tasks: [taskOf("hold", { runner: "container" })], runAt: new Date(Date.now() + 60_000) });
    await until("what waits has been counted", () => small.engine.view.waiting === 0);
    for (let n = 0; n < 5; n++) await small.submitter.submit(script());
    const fault = await small.submitter.submit(script()).catch((thrown: unknown) => thrown);
    expect(fault).toBeInstanceOf(EngineError);
    expect((fault as EngineError).code).toBe("queue_full");
    expect((fault as EngineError).options.retryAfterSeconds).toBeGreaterThan(0);
    await expectRefusal(small.submitter.submitTogether([script()]), "queue_full");
  });

  test("is noticed by a node that has just started", async () => {
    await using _first = await openNode(database.address, { queueMax: 3 });
    const job = () =>
      jobOf({ tasks: [taskOf("hold", { runner: "automation" })], runAt: new Date(Date.now() + 60_000) });
    for (let n = 0; n < 3; n++) await node.submitter.submit(job());
    await using late = await openNode(database.address, { queueMax: 3 });
    await until("what waits has been counted", () => late.engine.view.waiting >= 3);
    await expectRefusal(late.submitter.submit(job()), "queue_full");
    await database.sql`DELETE FROM tasks WHERE runner IN ('automation', 'container')`;
    await database.sql`DELETE FROM jobs WHERE runner IN ('automation', 'container')`;
  });
});

test("a draining node accepts nothing", async () => {
  await using draining = await openNode(database.address);
  draining.engine.view.draining = true;
  await expectRefusal(draining.submitter.submit(jobOf()), "draining");
});

async function hasStatus(id: string, status: string): Promise<boolean> {
  return (await readJob(node.db.sql, id))?.status === status;
}

async function expectRefusal(work: Promise<unknown>, code: string): Promise<void> {
  const fault = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(fault).toBeInstanceOf(EngineError);
  expect((fault as EngineError).code).toBe(code as EngineError["code"]);
}

async function transactions(): Promise<number> {
  await database.sql`SELECT pg_stat_force_next_flush()`;
  const [row] = await database.sql<{ count: number }[]>`
    SELECT xact_commit::int AS count FROM pg_stat_database WHERE datname = current_database()`;
  return row?.count ?? 0;
}

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  beginReservation,
  beginReservations,
  forgetUploads,
  reservePayloadId,
  takeAbandoned,
  takeExpired,
} from "../../src/engine/uploads.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";

let database: TestDatabase;
let here: TestNode;
let there: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  here = await openNode(database.address, { nodeId: "here", isStarted: false });
  there = await openNode(database.address, { nodeId: "there", isStarted: false });
});

beforeEach(async () => {
  await database.sql`TRUNCATE uploads, payloads, jobs, tasks, nodes`;
  await lives("here");
  await lives("there");
});

afterAll(async () => {
  await Promise.all([here.stop(), there.stop()]);
});

const mine = { nodeId: "here", isShared: false };
const all = { nodeId: "here", isShared: true };
const hourS = 3_600;

describe("an upload", () => {
  test("ends with the commit of its job, and nobody removes its files", async () => {
    const id = await withJob(here);
    expect(await uploads()).toEqual([]);
    await database.sql`UPDATE payloads SET created_at = now() - interval '9 days'`;
    expect(await takeAbandoned(database.sql, all, { living: 0, gone: 0 })).toEqual([]);
    expect(await database.sql`SELECT id, node_id FROM payloads`).toEqual([{ id, node_id: "here" }] as never);
  });

  test("whose id is reserved while it comes in leaves no trace when it comes to nothing", async () => {
    const [kept, broken] = [beginReservation(here.engine), beginReservation(here.engine)];
    await broken.giveUp();
    expect((await uploads()).map(({ payload_id }) => payload_id)).toEqual([await kept.id()]);
    await here.submitter.submit(jobOf({ payload: payloadOf(await kept.id()) }));
    expect(await uploads()).toEqual([]);
  });

  test("among many that are stored together has its id in their order", async () => {
    const reservations = beginReservations(here.engine, 5);
    const ids = await Promise.all(reservations.map((reservation) => reservation.id()));
    expect(ids).toEqual(ids.map((_, at) => (ids[0] ?? 0) + at));
    await reservations[1]?.giveUp();
    expect((await uploads()).map(({ payload_id }) => payload_id)).toEqual(ids.filter((_, at) => at !== 1));
  });

  test("whose id cannot be reserved says so to whoever needs it, and can be given up", async () => {
    const failing = beginReservation({ ...here.engine, nodeId: "\0" });
    await expect(failing.id()).rejects.toThrow();
    await failing.giveUp();
    expect(await uploads()).toEqual([]);
  });

  test("of a node that lives has a day, of one that is gone a few minutes", async () => {
    const [id, other] = [await reservePayloadId(here.engine), await reservePayloadId(there.engine)];
    await aged("11 minutes");
    expect(await takeAbandoned(database.sql, all)).toEqual([]);
    await database.sql`UPDATE nodes SET lease_until = now() - interval '1 second' WHERE id = 'there'`;
    expect(await takeAbandoned(database.sql, mine)).toEqual([other]);
    await aged("25 hours");
    expect(await takeAbandoned(database.sql, mine)).toEqual([id]);
  });

  test("on the disk of another node that lives is that node's to remove", async () => {
    const id = await reservePayloadId(there.engine);
    await aged("25 hours");
    expect(await takeAbandoned(database.sql, mine)).toEqual([]);
    expect(await takeAbandoned(database.sql, all)).toEqual([id]);
  });

  test("that was given up cannot become a job any more, and leaves nothing of it", async () => {
    const id = await reservePayloadId(here.engine);
    await aged("25 hours");
    await takeAbandoned(database.sql, mine);
    for (const isForgotten of [false, true]) {
      if (isForgotten) await forgetUploads(database.sql, [id]);
      const late = here.submitter.submit(jobOf({ payload: payloadOf(id) }));
      await expect(late).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("send it again"),
      });
    }
    expect(await database.sql`SELECT 1 FROM jobs`).toHaveLength(0);
  });

  test("that was given up keeps no other job from being written beside it", async () => {
    const ids = await Promise.all(Array.from({ length: 12 }, () => reservePayloadId(here.engine)));
    const [first, ...others] = ids.toSorted((a, b) => a - b);
    await database.sql`UPDATE uploads SET swept_at = now() WHERE payload_id = ${first ?? 0}`;
    const fates = await Promise.allSettled(ids.map((id) => here.submitter.submit(jobOf({ payload: payloadOf(id) }))));
    const refused = fates.flatMap((fate) => (fate.status === "rejected" ? [fate.reason.code] : []));
    expect(refused).toEqual(["unavailable"]);
    const rows = await database.sql<{ id: number }[]>`
      SELECT p.id FROM payloads p JOIN jobs j ON j.id = p.job_id AND j.payload_id = p.id ORDER BY 1`;
    expect(rows.map(({ id }) => id)).toEqual(others);
    expect((await uploads()).map(({ payload_id }) => payload_id)).toEqual([first ?? 0]);
  });

  test("that was given up takes those with it that are written all or none", async () => {
    const [good, bad] = [await reservePayloadId(here.engine), await reservePayloadId(here.engine)];
    await database.sql`UPDATE uploads SET swept_at = now() WHERE payload_id = ${bad}`;
    const jobs = [good, bad].map((id) => jobOf({ payload: payloadOf(id) }));
    await expect(here.submitter.submitTogether(jobs)).rejects.toMatchObject({ code: "unavailable" });
    expect(await database.sql`SELECT 1 FROM jobs UNION ALL SELECT 1 FROM payloads`).toHaveLength(0);
    expect(await uploads()).toHaveLength(2);
  });

  test("for a job that is there already stays one, until its files are removed", async () => {
    const [first, second] = [await reservePayloadId(here.engine), await reservePayloadId(here.engine)];
    const submit = (id: number) => here.submitter.submit(jobOf({ id: "same", payload: payloadOf(id) }));
    expect(await submit(first)).toMatchObject({ existing: false });
    expect(await submit(second)).toMatchObject({ existing: true, by: "id" });
    expect((await uploads()).map(({ payload_id }) => payload_id)).toEqual([second]);
    await expect(here.submitter.submit(jobOf({ payload: payloadOf(first) }))).rejects.toMatchObject({
      code: "conflict",
    });
  });

  test("whose removal did not end is taken again later, by one at a time", async () => {
    const ids = [await reservePayloadId(here.engine), await reservePayloadId(here.engine)];
    await aged("25 hours");
    const taken = await Promise.all(Array.from({ length: 4 }, () => takeAbandoned(database.sql, all)));
    expect(taken.flat().toSorted((a, b) => a - b)).toEqual(ids);
    expect(await takeAbandoned(database.sql, all)).toEqual([]);
    await database.sql`UPDATE uploads SET swept_at = now() - interval '61 minutes'`;
    expect((await takeAbandoned(database.sql, all)).toSorted((a, b) => a - b)).toEqual(ids);
    await forgetUploads(database.sql, ids);
    expect(await uploads()).toEqual([]);
  });
});

describe("files past their age", () => {
  test("are taken by one node, and told to be cleaned from then on", async () => {
    const ids = [await withJob(here), await withJob(there)].toSorted((a, b) => a - b);
    await finished();
    const taken = await Promise.all(Array.from({ length: 4 }, () => takeExpired(database.sql, all, hourS)));
    expect(taken.flat().toSorted((a, b) => a - b)).toEqual(ids);
    expect(await database.sql`SELECT 1 FROM payloads WHERE cleaned_at IS NULL`).toHaveLength(0);
    expect((await uploads()).map(({ payload_id }) => payload_id)).toEqual(ids);
  });

  test("on the disks of nodes are taken by the node that has them, or by any once it is gone", async () => {
    const [own, other] = [await withJob(here), await withJob(there)];
    await finished();
    expect(await takeExpired(database.sql, mine, hourS)).toEqual([own]);
    await database.sql`DELETE FROM nodes WHERE id = 'there'`;
    expect(await takeExpired(database.sql, mine, hourS)).toEqual([other]);
  });

  test("are taken over from a node that died while it removed them", async () => {
    const id = await withJob(there);
    await finished();
    expect(await takeExpired(database.sql, { nodeId: "there", isShared: true }, hourS)).toEqual([id]);
    await database.sql`UPDATE uploads SET swept_at = now() - interval '61 minutes'`;
    expect(await takeAbandoned(database.sql, all)).toEqual([id]);
  });
});

function payloadOf(id: number) {
  return { id, files: 0, bytes: 0, manifestJson: "[]" };
}

async function withJob(node: TestNode): Promise<number> {
  const id = await reservePayloadId(node.engine);
  await node.submitter.submit(jobOf({ payload: payloadOf(id) }));
  return id;
}

async function finished(): Promise<void> {
  await database.sql`UPDATE jobs SET status = 'succeeded', finished_at = now() - interval '2 hours'`;
}

async function aged(by: string): Promise<void> {
  await database.sql`UPDATE uploads SET created_at = now() - ${by}::interval`;
}

async function lives(nodeId: string): Promise<void> {
  await database.sql`
    INSERT INTO nodes (id, boot_id, version, lease_until)
    VALUES (${nodeId}, ${crypto.randomUUID()}, 'test', now() + interval '1 hour')`;
}

async function uploads(): Promise<{ payload_id: number }[]> {
  return database.sql`SELECT payload_id FROM uploads ORDER BY 1`;
}

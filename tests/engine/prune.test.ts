import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventsAfter } from "../../src/engine/events.ts";
import { dropOldPartitions, ensurePartitions } from "../../src/engine/partitions.ts";
import { forget, pruneDays, pruneJobs } from "../../src/engine/prune.ts";
import { readJob } from "../../src/engine/read.ts";
import { retry } from "../../src/engine/requeue.ts";
import { forgetUploads, takeExpired } from "../../src/engine/uploads.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { jobOf, openNode, type TestNode } from "../support/engine.ts";

const hourS = 3_600;

let database: TestDatabase;
let node: TestNode;

beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { isStarted: false });
});

afterAll(async () => {
  await node.stop();
});

describe("pruning", () => {
  test("removes old final jobs with all that hangs on them, in bounded batches", async () => {
    await finished(1_200, 2);
    const young = await finished(5, 0);
    expect(await pruneJobs(database.sql, hourS)).toBe(500);
    expect(await pruneJobs(database.sql, hourS)).toBe(500);
    expect(await pruneJobs(database.sql, hourS)).toBe(200);
    expect(await pruneJobs(database.sql, hourS)).toBe(0);
    expect(await counts()).toEqual({ jobs: 5, tasks: 5, runs: 5, events: 5, deliveries: 5 });
    await forget(database.sql, young);
    expect(await counts()).toEqual({ jobs: 0, tasks: 0, runs: 0, events: 0, deliveries: 0 });
  });

  test("keeps what waits, what runs, and what a receiver has yet to hear of", async () => {
    const [waiting, told] = [await finished(1, 2), await finished(1, 2)];
    await database.sql`UPDATE jobs SET status = 'queued', finished_at = NULL WHERE id = ANY(${waiting})`;
    await database.sql`UPDATE deliveries SET state = 'pending' WHERE job_id = ANY(${told})`;
    expect(await pruneJobs(database.sql, hourS)).toBe(0);
    await forget(database.sql, waiting);
    expect(await counts()).toMatchObject({ jobs: 2, tasks: 2 });
    await database.sql`UPDATE jobs SET finished_at = now(), status = 'failed'`;
    await forget(database.sql, [...waiting, ...told]);
  });

  test("remembers a job with files until they are cleaned, and then for longer", async () => {
    const [id] = (await finished(1, 2)) as [string];
    await database.sql`INSERT INTO payloads (id, job_id) VALUES (7, ${id})`;
    await database.sql`UPDATE jobs SET payload_id = 7 WHERE id = ${id}`;
    const reach = { nodeId: "any", isShared: true };
    expect(await takeExpired(database.sql, reach, 3 * hourS)).toEqual([]);
    expect(await takeExpired(database.sql, reach, hourS)).toEqual([7]);
    expect(await takeExpired(database.sql, reach, hourS)).toEqual([]);
    await forgetUploads(database.sql, [7]);
    expect(await pruneJobs(database.sql, hourS)).toBe(0);
    expect((await readJob(database.sql, id))?.payload?.cleaned).toBe(true);
    await database.sql`UPDATE jobs SET finished_at = now() - interval '4 hours', created_at = now() - interval '4 hours'`;
    expect(await pruneJobs(database.sql, hourS)).toBe(1);
  });

  test("of a job that is retried meanwhile takes nothing of it", async () => {
    for (let round = 0; round < 15; round++) {
      const ids = await finished(20, 2);
      const retries = ids.map((id) =>
        retry(node.engine, id).then(
          () => id,
          () => null,
        ),
      );
      await forget(database.sql, ids);
      const retried = (await Promise.all(retries)).filter((id) => id !== null);
      const rows = await database.sql<{ id: string; tasks: number }[]>`
        SELECT id, (SELECT count(*)::int FROM tasks k WHERE k.job_id = jobs.id) AS tasks FROM jobs`;
      expect(rows.map((row) => row.id).toSorted()).toEqual(retried.toSorted());
      expect(rows.every((row) => row.tasks === 1)).toBe(true);
      await database.sql`UPDATE jobs SET finished_at = now(), status = 'failed'`;
      await forget(database.sql, ids);
    }
    expect(await counts()).toMatchObject({ jobs: 0, tasks: 0, events: 0 });
  });

  test("forgets nodes that were not seen for a day and have nothing to return", async () => {
    await database.sql`INSERT INTO nodes (id, boot_id, version, lease_until, maintenance) VALUES
      ('old', gen_random_uuid(), '1', now() - interval '2 days', false),
      ('kept', gen_random_uuid(), '1', now() - interval '2 days', true),
      ('busy', gen_random_uuid(), '1', now() - interval '2 days', false),
      ('young', gen_random_uuid(), '1', now() - interval '2 hours', false)`;
    const [id] = (await finished(1, 0)) as [string];
    await database.sql`UPDATE tasks SET status = 'running', node_id = 'busy' WHERE job_id = ${id}`;
    await pruneDays(database.sql, hourS);
    const rows = await database.sql<{ id: string }[]>`SELECT id FROM nodes ORDER BY id`;
    expect(rows.map((row) => row.id)).toEqual(["busy", "kept", "young"]);
    await database.sql`DELETE FROM jobs`;
    await database.sql`DELETE FROM tasks`;
  });
});

describe("the days of the history", () => {
  test("are made ahead, by many at once, and made again when they are there", async () => {
    const before = await days();
    expect(before.length).toBeGreaterThanOrEqual(4);
    for (const day of before) await database.sql.unsafe(`DROP TABLE ${day}`);
    await Promise.all([1, 2, 3, 4].map(() => ensurePartitions(database.sql)));
    expect(await days()).toEqual(before);
    await ensurePartitions(database.sql);
    expect(await days()).toEqual(before);
  });

  test("of which rows were already written elsewhere do not keep the others from being made", async () => {
    const [today, ...next] = await days();
    for (const day of [today, ...next]) await database.sql.unsafe(`DROP TABLE ${day}`);
    const { id } = await node.submitter.submit(jobOf({ held: true }));
    await ensurePartitions(database.sql);
    expect(await days()).toEqual(next);
    expect(await eventsAfter(node.db.sql, id, 0, 10)).toHaveLength(1);
    await database.sql`DELETE FROM events`;
    await ensurePartitions(database.sql);
    expect(await days()).toEqual([today as string, ...next]);
  });

  test("go when they are past their age, but not while a job of theirs is known", async () => {
    await database.sql.unsafe(
      `CREATE TABLE events_20200101 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')`,
    );
    await database.sql.unsafe(
      `CREATE TABLE events_20200102 PARTITION OF events FOR VALUES FROM ('2020-01-02') TO ('2020-01-03')`,
    );
    const [id] = (await finished(1, 0)) as [string];
    await database.sql`INSERT INTO events (job_id, seq, count, at, lines) VALUES
      (${id}, 0, 1, '2020-01-01 12:00Z', '[]'), ('gone', 1, 1, '2020-01-02 12:00Z', '[]'), ('gone', 1, 1, '2019-01-01', '[]')`;
    const ahead = (await days()).slice(2);
    expect(await dropOldPartitions(database.sql, hourS)).toEqual(["events_20200102"]);
    expect(await database.sql`SELECT 1 FROM events WHERE job_id = 'gone'`).toHaveLength(0);
    await forget(database.sql, [id]);
    expect(await dropOldPartitions(database.sql, hourS)).toEqual(["events_20200101"]);
    expect(await days()).toEqual(ahead);
  });

  test("that somebody reads for long are left for another time", async () => {
    await database.sql.unsafe(
      `CREATE TABLE events_20200101 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')`,
    );
    const reader = await database.sql.reserve();
    await reader`BEGIN`;
    await reader`SELECT count(*) FROM events_20200101`;
    expect(await dropOldPartitions(database.sql, hourS)).toEqual([]);
    await reader`COMMIT`;
    reader.release();
    expect(await dropOldPartitions(database.sql, hourS)).toEqual(["events_20200101"]);
  });
});

/** Final jobs of `ageHours`, each with a task, a run, a row of events and a delivered webhook. */
async function finished(count: number, ageHours: number): Promise<string[]> {
  const rows = await database.sql<{ id: string }[]>`
    INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, created_at, finished_at, last_seq)
    SELECT gen_random_uuid(), 'api', 'test', 'function', 'succeeded', 1, 'x', '{}', at, at, 1
    FROM (SELECT now() - make_interval(hours => ${ageHours}) AS at FROM generate_series(1, ${count})) a RETURNING id`;
  const ids = rows.map((row) => row.id);
  await database.sql`INSERT INTO tasks (job_id, index, runner, target, status, priority, timeout_ms, finished_at)
    SELECT unnest(${ids}::text[]), 0, 'function', 'x', 'succeeded', 1, 1000, now()`;
  await database.sql`INSERT INTO runs (run_id, job_id, task_index, turn, attempt, node_id, outcome, finished_at)
    SELECT gen_random_uuid(), unnest(${ids}::text[]), 0, 1, 1, 'n', 'succeeded', now()`;
  await database.sql`INSERT INTO events (job_id, seq, count, at, lines)
    SELECT unnest(${ids}::text[]), 1, 1, now(), '[{"k":"status","t":0,"d":{"status":"queued"}}]'`;
  await database.sql`INSERT INTO deliveries (id, job_id, event, url, content_type, body, state)
    SELECT gen_random_uuid(), unnest(${ids}::text[]), 'completed', 'http://x', 'text/plain', '', 'delivered'`;
  return ids;
}

async function counts(): Promise<Record<string, number>> {
  const [row] = await database.sql<Record<string, number>[]>`
    SELECT (SELECT count(*)::int FROM jobs) AS jobs, (SELECT count(*)::int FROM tasks) AS tasks, (SELECT count(*)::int FROM runs) AS runs,
      (SELECT count(*)::int FROM events) AS events, (SELECT count(*)::int FROM deliveries) AS deliveries`;
  return row ?? {};
}

async function days(): Promise<string[]> {
  const rows = await database.sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]{8}$' ORDER BY 1`;
  return rows.map((row) => row.name);
}

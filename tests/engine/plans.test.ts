import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { claim } from "../../src/engine/begin.ts";
import { cancel } from "../../src/engine/cancel.ts";
import type { Database, Sql } from "../../src/db/client.ts";
import { JobFeed } from "../../src/engine/feed.ts";
import { readJob, readJobs } from "../../src/engine/read.ts";
import { reap, unpark } from "../../src/engine/reap.ts";
import { reservePayloadId } from "../../src/engine/uploads.ts";
import { retry } from "../../src/engine/requeue.ts";
import { waitForExisting } from "../../src/engine/wait.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";
import { watching } from "../support/failing-database.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { statusesOf } from "../support/job-rows.ts";
import { until } from "../support/until.ts";

/*
 * Plans of statements that are kept are made while the tables are small. What is chosen then has to be right for large
 * ones too, whether or not anybody has ever analyzed them.
 */

type PlanNode = Record<string, unknown> & { Plans?: PlanNode[] };

const large = /^(jobs|tasks|runs|events.*|payloads|deliveries|job|job_common)$/;
const olderJobs = 20_000;

let database: TestDatabase;
let node: TestNode;
const statements = { sql: new Set<string>(), hot: new Set<string>(), lease: new Set<string>() };

beforeAll(async () => {
  database = await testDatabase();
  for (const table of ["jobs", "tasks", "runs", "payloads", "pgboss.job_common"])
    await database.sql.unsafe(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  node = await openNode(database.address, { slots: 8, through: listening, lease: { renewEveryMs: 100 } });
  // As often as it takes until every connection keeps a plan for all values.
  for (let round = 0; round < 8; round++) await everything(10);
});

afterAll(async () => {
  await node.stop();
});

describe("plans made on empty tables", () => {
  for (const pool of ["sql", "hot", "lease"] as const)
    test(`on the ${pool} connections look up every large table by a key`, async () => {
      expect(statements[pool].size).toBeGreaterThan(pool === "hot" ? 12 : 1);
      const plans = await plansOf(node.db[pool], statements[pool]);
      expect(plans.flatMap(({ text, plan }) => scansOf(plan).map((scan) => `${scan} in ${text}`))).toEqual([]);
    });

  for (const pool of ["sql", "hot"] as const)
    test(`on the ${pool} connections are linear in the size of a group`, async () => {
      const plans = await plansOf(node.db[pool], statements[pool]);
      expect(plans.flatMap(({ text, plan }) => crossings(plan).map((loop) => `${loop} in ${text}`))).toEqual([]);
    });
});

describe(`after ${olderJobs} finished jobs in tables that nobody analyzed`, () => {
  beforeAll(async () => {
    await addFinished(olderJobs);
  });

  test("nothing that the engine does reads a table from end to end", async () => {
    const before = await rowsRead();
    await everything(40);
    const after = await rowsRead();
    for (const [table, rows] of Object.entries(after))
      expect([table, rows - (before[table] ?? 0) < olderJobs / 2]).toEqual([table, true]);
  });

  test("a group of 400 costs about 4 times one of 100", async () => {
    const cost = async (count: number) => {
      const before = await blocksTouched();
      await Promise.all(Array.from({ length: count }, () => node.submitter.submit(jobOf({ held: true }))));
      return (await blocksTouched()) - before;
    };
    await cost(400);
    const [small, big] = [await cost(100), await cost(400)];
    expect(big / small).toBeLessThan(7);
  });
});

/** Every way through the engine, once for each of `count` jobs. */
async function everything(count: number): Promise<void> {
  node.runner.on("talk", async ({ sink }) => {
    sink.log("info", "hello");
    await Bun.sleep(8);
    await sink.output("stdout", "x");
    return { kind: "succeeded", output: 1 };
  });
  const idempotencyKey = crypto.randomUUID();
  const payloadIds = await Promise.all(Array.from({ length: count }, () => reservePayloadId(node.engine)));
  const receipts = await Promise.all(
    Array.from({ length: count }, (_, at) => [
      node.submitter.submit(jobOf({ target: "talk" })),
      node.submitter.submit(jobOf({ tasks: [taskOf("echo"), taskOf("talk")] })),
      node.submitter.submit(jobOf({ concurrency: { key: `k${at % 3}`, max: 2 } })),
      node.submitter.submit(jobOf({ dedup: { key: `d${at}`, while: "active" } })),
      node.submitter.submit(jobOf({ idempotencyKey })),
      node.submitter.submit(jobOf({ payload: payloadOf(payloadIds[at]) })),
      node.submitter.submit(jobOf({ webhook: { url: "http://x", events: ["completed"], kind: "test" } })),
    ]).flat(),
  );
  const ids = receipts.map((receipt) => receipt.id);
  await Promise.all(ids.slice(0, count).map((id) => waitForExisting(node.engine, id, 20_000)));
  await until("all are final", async () => (await Promise.all(ids.map(isFinal))).every(Boolean), {
    withinMs: 30_000,
    everyMs: 50,
  });
  expect(await readJobs(node.db.sql, ids)).toHaveLength(ids.length);
  for (const id of ids.slice(0, 6)) {
    await readJob(node.db.sql, id);
    const feed = new JobFeed(node.engine, id, 0);
    while ((await feed.next()) !== null);
    feed.close();
    await cancel(node.engine, id);
  }
  const [first = ""] = ids;
  await retry(node.engine, first);
  await until("it is final again", () => isFinal(first));
  const waiting = await node.submitter.submit(jobOf({ runAt: new Date(Date.now() + 3_600_000) }));
  await cancel(node.engine, waiting.id);
  await reap(node.engine, "expired");
  await unpark(node.engine);
  await claim(node.engine, ["function", "script"], 1, 2);
}

function listening(db: Database): Database {
  const tapped = (pool: "sql" | "hot" | "lease") =>
    watching(db, (text) => {
      if (/^\s*(WITH|SELECT|UPDATE|INSERT|DELETE)/i.test(text)) statements[pool].add(text);
    })[pool];
  return { ...db, sql: tapped("sql"), hot: tapped("hot"), lease: tapped("lease") };
}

async function plansOf(pool: Sql, texts: ReadonlySet<string>): Promise<{ text: string; plan: PlanNode }[]> {
  const session = await pool.reserve();
  try {
    await session.unsafe("SET plan_cache_mode = force_generic_plan");
    const plans = [];
    for (const text of texts) {
      const count = Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map((found) => Number(found[1])));
      await session.unsafe(`PREPARE looked_at AS ${text}`).catch((cause: unknown) => {
        throw new Error(`cannot be prepared: ${text}`, { cause });
      });
      const values = count === 0 ? "" : `(${Array.from({ length: count }, () => "NULL").join(", ")})`;
      const [row] = await session.unsafe(`EXPLAIN (FORMAT JSON) EXECUTE looked_at${values}`);
      plans.push({ text: text.trim().slice(0, 120), plan: row?.["QUERY PLAN"][0].Plan as PlanNode });
      await session.unsafe("DEALLOCATE looked_at");
    }
    return plans;
  } finally {
    await session.unsafe("RESET plan_cache_mode");
    session.release();
  }
}

/** Ways of reading a large table that are not a lookup by a key. */
function scansOf(plan: PlanNode): string[] {
  const table = String(plan["Relation Name"] ?? "");
  const kind = String(plan["Node Type"]);
  const isLookup = kind.startsWith("Index") && plan["Index Cond"] !== undefined;
  // What waits and what runs is always a small part of the table, and has its own index.
  const isPart =
    kind.startsWith("Index") &&
    /(tasks_running|tasks_queued|jobs_by_concurrency|job_i11)$/.test(String(plan["Index Name"]));
  const isWrite = kind === "ModifyTable" || kind === "LockRows";
  const isByBitmap = kind === "Bitmap Heap Scan" && plan.Plans?.every((part) => part["Index Cond"] !== undefined);
  const own = large.test(table) && !isLookup && !isPart && !isWrite && !isByBitmap ? [`${kind} on ${table}`] : [];
  return [...own, ...(plan.Plans ?? []).flatMap(scansOf)];
}

/** Joins that compare every row of one step with every row of another. */
function crossings(plan: PlanNode): string[] {
  const [outer, inner] = plan.Plans ?? [];
  const isStep = (step: PlanNode | undefined) => /^(CTE|Function|Values) Scan$/.test(String(step?.["Node Type"]));
  const takesOne = (step: PlanNode | undefined) => Number(step?.["Plan Rows"]) <= 1;
  const isCrossing = plan["Node Type"] === "Nested Loop" && isStep(outer) && isStep(inner) && !takesOne(outer);
  const own = isCrossing ? [`${outer?.Alias} x ${inner?.Alias}`] : [];
  return [...own, ...(plan.Plans ?? []).flatMap(crossings)];
}

async function addFinished(count: number): Promise<void> {
  const { sql } = database;
  await sql`INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, finished_at, last_seq, dedup_key, idempotency_key, concurrency_key)
    SELECT 'old-' || n, 'api', 'old', 'function', 'succeeded', 1, 'x', '{}', now(), 1, 'old-' || n, 'old-' || n, 'old-' || n % 10
    FROM generate_series(1, ${count}) n`;
  await sql`INSERT INTO tasks (job_id, index, runner, target, status, priority, timeout_ms, finished_at, queued_at, node_id)
    SELECT 'old-' || n, 0, 'function', 'x', 'succeeded', 1, 1000, now(), now(), ${node.engine.nodeId} FROM generate_series(1, ${count}) n`;
  await sql`INSERT INTO runs (run_id, job_id, task_index, turn, attempt, node_id, outcome, finished_at)
    SELECT gen_random_uuid(), 'old-' || n, 0, 1, 1, 'n', 'succeeded', now() FROM generate_series(1, ${count}) n`;
  await sql`INSERT INTO events (job_id, seq, count, at, lines) SELECT 'old-' || n, 1, 1, now(), '[]' FROM generate_series(1, ${count}) n`;
  await sql`INSERT INTO deliveries (id, job_id, event, url, content_type, body, state)
    SELECT 'old-' || n, 'old-' || n, 'completed', 'http://x', 'text/plain', '', 'delivered' FROM generate_series(1, ${count}) n`;
}

/** Rows that were read in scans of whole tables. */
async function rowsRead(): Promise<Record<string, number>> {
  await flushStatistics();
  const rows = await database.sql<{ relname: string; rows: number }[]>`
    SELECT relname, seq_tup_read::int AS rows FROM pg_stat_user_tables WHERE relname ~ '^(jobs|tasks|runs|events|deliveries|job_common)'`;
  return Object.fromEntries(rows.map((row) => [row.relname, row.rows]));
}

async function blocksTouched(): Promise<number> {
  await flushStatistics();
  const [row] = await database.sql<{ blocks: number }[]>`
    SELECT (sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read))::int AS blocks FROM pg_statio_user_tables`;
  return row?.blocks ?? 0;
}

/** Each session tells its numbers when it is asked to, or at the latest a second after it fell idle. */
async function flushStatistics(): Promise<void> {
  await Bun.sleep(1_100);
  for (const pool of [node.db.sql, node.db.hot])
    await Promise.all(Array.from({ length: 10 }, () => pool`SELECT pg_stat_force_next_flush(), pg_sleep(0.01)`));
  await database.sql`SELECT pg_stat_force_next_flush()`;
}

function payloadOf(id = 0) {
  return { id, files: 0, bytes: 0, manifestJson: "[]" };
}

async function isFinal(id: string): Promise<boolean> {
  const [status] = await statusesOf(node.db.sql, id);
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

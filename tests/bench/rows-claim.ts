import { openDatabase, type Sql } from "../../src/db/client.ts";
import { claim } from "../../src/engine/begin.ts";
import { createEngine } from "../../src/engine/engine.ts";
import { Queue } from "../../src/queue/boss.ts";
import { measure, medianOf, type Row } from "./row.ts";
import { openSharedDatabase } from "./shared-database.ts";

const few = 1_000;
const many = 1_000_000;
const claims = 50;
const most = 10;

/** What it takes to claim ten tasks, with little and with very much waiting behind them. */
export async function claimRows(): Promise<Row[]> {
  const little = await claimRow(few);
  return [little, { ...(await claimRow(many)), reach: little.median * 2, note: "at most twice as long as with few" }];
}

async function claimRow(waiting: number): Promise<Row> {
  await using database = await openSharedDatabase();
  await addWaiting(database.sql, waiting);
  const db = openDatabase(database.address);
  const queue = await Queue.open(db.sql);
  const engine = createEngine({ db, queue, nodeId: "bench", queueMax: 2 * many, renders: {} });
  const row = await measure(
    { name: `claim of ${most} tasks, ${waiting.toLocaleString("en")} waiting, median`, unit: "ms", better: "lower" },
    1,
    async () => {
      const times: number[] = [];
      for (let n = 0; n < claims; n++) {
        const startedAt = performance.now();
        const { claimed } = await claim(engine, "function", most);
        times.push(performance.now() - startedAt);
        if (claimed.length !== most) throw new Error(`${claimed.length} tasks were claimed instead of ${most}`);
      }
      return medianOf(times);
    },
  );
  await queue.close();
  await db.close();
  return row;
}

/** Jobs of five priorities, as submits would have written them. */
async function addWaiting(sql: Sql, count: number): Promise<void> {
  await sql`INSERT INTO jobs (id, surface, client, runner, status, priority, name, input)
    SELECT 'waiting-' || n, 'api', 'bench', 'function', 'queued', 1 + n % 5, 'nap', '{}' FROM generate_series(1, ${count}::int) n`;
  await sql`INSERT INTO tasks (job_id, index, runner, target, status, priority, timeout_ms, queued_at)
    SELECT 'waiting-' || n, 0, 'function', 'nap', 'queued', 1 + n % 5, 30000, now() FROM generate_series(1, ${count}::int) n`;
  await sql`INSERT INTO pgboss.job (name, data, priority)
    SELECT 'function', json_build_object('j', 'waiting-' || n, 't', 0, 'n', 1), -(1 + n % 5) FROM generate_series(1, ${count}::int) n`;
  await sql`ANALYZE`;
}

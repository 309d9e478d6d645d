import { codeOf, type Sql } from "../db/client.ts";

const daysAhead = 3;
const lockKey = 7_102_553;
/** Whoever waits longer for a table holds up all who come after it. */
const lockTimeoutMs = 2_000;
const strayBatchMax = 5_000;
const strayBatchesMax = 20;

/**
 * Makes the daily partitions of `events` for today and the next days. Cheap when they are there. A day of which rows
 * are in the partition for other days already stays there.
 */
export async function ensurePartitions(sql: Sql): Promise<void> {
  if ((await missingDays(sql)).length === 0) return;
  await sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${lockKey})`;
    await tx.unsafe(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
    for (const { name, from, until } of await missingDays(tx)) {
      // Attached and not created in place, which would lock out everybody who writes.
      await tx.unsafe(`CREATE TABLE ${name} (LIKE events INCLUDING DEFAULTS)`);
      await tx.unsafe(
        `ALTER TABLE events ATTACH PARTITION ${name} FOR VALUES FROM ('${from} 00:00:00+00') TO ('${until} 00:00:00+00')`,
      );
    }
  });
}

/**
 * Drops the partitions that end before `keptS` seconds ago, and rows of that age that are in none. A day of which a job
 * is still known is kept: its history has no gaps. Returns the names that went.
 */
export async function dropOldPartitions(sql: Sql, keptS: number): Promise<string[]> {
  const dropped: string[] = [];
  for (const name of await oldDays(sql, keptS)) {
    const [known] = await sql.unsafe(`SELECT 1 FROM ${name} e JOIN jobs j ON j.id = e.job_id LIMIT 1`);
    if (known === undefined && (await dropDay(sql, name))) dropped.push(name);
  }
  for (let batch = 0; batch < strayBatchesMax; batch++) if ((await deleteStrays(sql, keptS)) < strayBatchMax) break;
  return dropped;
}

async function missingDays(runs: Pick<Sql, "unsafe">): Promise<{ name: string; from: string; until: string }[]> {
  return runs.unsafe(
    `SELECT 'events_' || to_char(d, 'YYYYMMDD') AS name, to_char(d, 'YYYY-MM-DD') AS from,
            to_char(d + interval '1 day', 'YYYY-MM-DD') AS until
     FROM generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + ${daysAhead}, interval '1 day') d
     WHERE to_regclass('events_' || to_char(d, 'YYYYMMDD')) IS NULL
       AND NOT EXISTS (SELECT 1 FROM events_other_days
                       WHERE at >= d AT TIME ZONE 'UTC' AND at < (d + interval '1 day') AT TIME ZONE 'UTC')`,
  );
}

async function oldDays(sql: Sql, keptS: number): Promise<string[]> {
  const rows = await sql.unsafe<{ name: string }[]>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]{8}$'
       AND to_date(substr(c.relname, 8), 'YYYYMMDD') + interval '1 day' < (now() AT TIME ZONE 'UTC') - make_interval(secs => $1)
     ORDER BY 1`,
    [keptS],
  );
  return rows.map((row) => row.name);
}

/** False when somebody reads the table for long: there will be another time. */
async function dropDay(sql: Sql, name: string): Promise<boolean> {
  try {
    await sql.begin(async (tx) => {
      await tx.unsafe(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
      await tx.unsafe(`DROP TABLE IF EXISTS ${name}`);
    });
    return true;
  } catch (fault) {
    if (codeOf(fault) === "55P03") return false;
    throw fault;
  }
}

async function deleteStrays(sql: Sql, keptS: number): Promise<number> {
  const { count } = await sql`
    DELETE FROM events_other_days e USING (
      SELECT o.job_id, o.seq FROM events_other_days o LEFT JOIN jobs j ON j.id = o.job_id
      WHERE o.at < now() - make_interval(secs => ${keptS}) AND j.id IS NULL LIMIT ${strayBatchMax}) old
    WHERE e.job_id = old.job_id AND e.seq = old.seq`;
  return count;
}

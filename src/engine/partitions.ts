import type { Runs } from "../db/client.ts";

const daysAhead = 3;

/** Makes the daily partitions of `events` for today and the next days. Cheap when they are there. */
export async function ensurePartitions(sql: Runs): Promise<void> {
  const names = await sql.unsafe<{ name: string; from: string; until: string }[]>(
    `SELECT 'events_' || to_char(d, 'YYYYMMDD') AS name, to_char(d, 'YYYY-MM-DD') AS from,
            to_char(d + interval '1 day', 'YYYY-MM-DD') AS until
     FROM generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + ${daysAhead}, interval '1 day') d
     WHERE to_regclass('events_' || to_char(d, 'YYYYMMDD')) IS NULL`,
  );
  for (const { name, from, until } of names) {
    await sql.unsafe(
      `CREATE TABLE IF NOT EXISTS ${name} PARTITION OF events FOR VALUES FROM ('${from} 00:00:00+00') TO ('${until} 00:00:00+00')`,
    );
  }
}

/**
 * Drops the partitions that end before `keptS` seconds ago. A day whose events belong to a job that is not final is
 * kept. Returns the names that went.
 */
export async function dropOldPartitions(sql: Runs, keptS: number): Promise<string[]> {
  const old = await sql.unsafe<{ name: string }[]>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]{8}$'
       AND to_date(substr(c.relname, 8), 'YYYYMMDD') + interval '1 day' < (now() AT TIME ZONE 'UTC') - make_interval(secs => $1)`,
    [keptS],
  );
  const dropped: string[] = [];
  for (const { name } of old) {
    const [live] = await sql.unsafe(
      `SELECT 1 FROM jobs WHERE finished_at IS NULL AND EXISTS (SELECT 1 FROM ${name} e WHERE e.job_id = jobs.id) LIMIT 1`,
    );
    if (live !== undefined) continue;
    await sql.unsafe(`DROP TABLE IF EXISTS ${name}`);
    dropped.push(name);
  }
  return dropped;
}

import type { Sql } from "../db/client.ts";
import { dropOldPartitions } from "./partitions.ts";

const batchMax = 500;
/** A job with files is remembered for this many times longer than its files, so that its clients learn they were cleaned. */
const payloadRowsFactor = 3;

/** Forgets final jobs that are past their age, one bounded batch. Returns how many went; call again until it is 0. */
export async function pruneJobs(sql: Sql, maxAgeS: number): Promise<number> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM jobs
    WHERE finished_at IS NOT NULL AND created_at < now() - make_interval(secs => ${maxAgeS})
      AND finished_at < now() - make_interval(secs => ${maxAgeS} * CASE WHEN payload_id IS NULL THEN 1 ELSE ${payloadRowsFactor} END)
      AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.job_id = jobs.id AND d.state = 'pending')
      AND (payload_id IS NULL OR EXISTS (SELECT 1 FROM payloads p WHERE p.id = jobs.payload_id AND p.cleaned_at IS NOT NULL))
    ORDER BY created_at LIMIT ${batchMax}`;
  if (rows.length > 0)
    await forget(
      sql,
      rows.map((row) => row.id),
    );
  return rows.length;
}

/** Removes those of the jobs that are final, with everything that hangs on them but their files. */
export async function forget(sql: Sql, ids: string[]): Promise<void> {
  await sql.begin(async (tx) => {
    // Tasks before jobs, the order in which everything else locks them.
    await tx`SELECT 1 FROM tasks WHERE job_id = ANY(${ids}) ORDER BY job_id, index FOR UPDATE`;
    // One that was retried meanwhile is not final any more, and keeps all it has.
    const gone = (
      await tx<{ id: string }[]>`DELETE FROM jobs WHERE id = ANY(${ids}) AND finished_at IS NOT NULL RETURNING id`
    ).map((row) => row.id);
    for (const table of ["tasks", "runs", "events", "deliveries", "payloads"])
      await tx`DELETE FROM ${tx(table)} WHERE job_id = ANY(${gone})`;
  });
}

/** Events of days that are past their age go with their partition; nodes unseen for long are forgotten. */
export async function pruneDays(sql: Sql, maxAgeS: number): Promise<string[]> {
  await sql`DELETE FROM nodes WHERE lease_until < now() - interval '1 day' AND NOT maintenance
    AND NOT EXISTS (SELECT 1 FROM tasks k WHERE k.node_id = nodes.id AND k.status = 'running')`;
  return dropOldPartitions(sql, maxAgeS * payloadRowsFactor);
}

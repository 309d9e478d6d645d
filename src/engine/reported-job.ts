import type { Sql } from "../db/client.ts";
import type { Status } from "./status.ts";

/** A job that runs elsewhere, whose status somebody reports. Nothing here runs it, and nothing of a job that runs here is changed: then false. */
export async function recordReportedJob(
  sql: Sql,
  job: { id: string; surface: string; client: string; name: string; status: Status },
): Promise<boolean> {
  const details = JSON.stringify({ reported: true });
  const isDone = job.status !== "queued" && job.status !== "running";
  const rows = await sql`
    INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, details, started_at, finished_at)
    VALUES (${job.id}, ${job.surface}, ${job.client}, 'container', ${job.status}, 1, ${job.name}, '{}', ${details}::text::json, now(),
      CASE WHEN ${isDone} THEN now() END)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, finished_at = excluded.finished_at
      WHERE jobs.surface = excluded.surface AND jobs.client = excluded.client AND jobs.details::text = excluded.details::text
    RETURNING id`;
  return rows.length === 1;
}

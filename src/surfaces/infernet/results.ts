import { readJobs } from "../../engine/read.ts";
import type { Sql } from "../../db/client.ts";
import { jobResult } from "./translate.ts";
import type { JobResult } from "./wire.ts";

const idsMax = 1_000;
const listMax = 10_000;

/** The client's own jobs among `ids`, in the order asked; what is unknown or another's is left out. */
export async function resultsOf(
  sql: Sql,
  client: string,
  ids: string[],
  withIntermediate: boolean,
): Promise<JobResult[]> {
  const jobs = await readJobs(sql, ids.slice(0, idsMax));
  return jobs
    .filter((job) => job.surface === "infernet" && job.client === client)
    .map((job) => jobResult(job, withIntermediate));
}

/** Ids of the client's newest jobs, those that are not done first. */
export async function idsOf(sql: Sql, client: string, pending: boolean | null): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM jobs WHERE surface = 'infernet' AND client = ${client}
      AND (${pending}::boolean IS NULL OR (finished_at IS NULL) = ${pending}::boolean)
    ORDER BY (finished_at IS NOT NULL), created_at DESC LIMIT ${listMax}`;
  return rows.map((row) => row.id);
}

/** Jobs that wait or run here; what runs elsewhere and was reported is no load of this service. */
export async function pendingCount(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM jobs WHERE surface = 'infernet' AND finished_at IS NULL AND status IN ('queued', 'running')
      AND details->>'reported' IS NULL`;
  return row?.count ?? 0;
}

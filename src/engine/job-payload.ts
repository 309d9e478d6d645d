import type { Sql } from "../db/client.ts";

/** The files of a job: under which id, on which node's disk, and whether they were cleaned away. */
export type JobPayload = { id: number; nodeId: string | null; isCleaned: boolean };

/** `none` when the job has no files, `unknown` when there is no such job. */
export async function payloadOfJob(sql: Sql, jobId: string): Promise<JobPayload | "none" | "unknown"> {
  const [row] = await sql<{ id: number | null; node_id: string | null; cleaned: boolean }[]>`
    SELECT j.payload_id AS id, p.node_id, p.id IS NULL OR p.cleaned_at IS NOT NULL AS cleaned
    FROM jobs j LEFT JOIN payloads p ON p.id = j.payload_id WHERE j.id = ${jobId}`;
  if (row === undefined) return "unknown";
  return row.id === null ? "none" : { id: row.id, nodeId: row.node_id, isCleaned: row.cleaned };
}

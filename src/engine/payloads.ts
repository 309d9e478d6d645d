import type { Sql } from "../db/client.ts";
import type { Failure } from "../runners/contract.ts";
import type { Status } from "./status.ts";

/** What a payload's readers need of its job. */
export type PayloadState = {
  id: number;
  jobId: string;
  /** How many there are. */
  files: number;
  status: Status;
  error: Failure | null;
  cleaned: boolean;
  cancelRequested: boolean;
  nodeId: string | null;
};

/** What is there now. With a `runId` it is written only while that run owns a task of the payload's job; false when it does not. */
export async function updatePayload(
  sql: Sql,
  id: number,
  now: { files: number; bytes: number; manifestJson: string },
  runId: string | null = null,
): Promise<boolean> {
  const { count } = await sql`
    UPDATE payloads SET files = ${now.files}, bytes = ${now.bytes}, manifest = ${now.manifestJson}::text::json
    WHERE id = ${id} AND (${runId}::uuid IS NULL OR EXISTS (
      SELECT 1 FROM tasks k WHERE k.job_id = payloads.job_id AND k.run_id = ${runId}::uuid))
    RETURNING CASE WHEN ${runId}::uuid IS NOT NULL THEN set_config('synchronous_commit', 'off', true) END`;
  return count > 0;
}

/** Whether a run still owns its task: what another run has left since is not this one's to touch. */
export async function ownsTask(sql: Sql, task: { jobId: string; index: number; runId: string }): Promise<boolean> {
  const rows = await sql`
    SELECT 1 FROM tasks WHERE job_id = ${task.jobId} AND index = ${task.index} AND run_id = ${task.runId}::uuid`;
  return rows.length === 1;
}

/** A payload with the state of its job, or null. */
export async function readPayload(sql: Sql, id: number): Promise<PayloadState | null> {
  const [row] = await sql<
    {
      id: number;
      job_id: string;
      files: number;
      status: Status;
      error: string | null;
      cleaned: boolean;
      stopping: boolean;
      node_id: string | null;
    }[]
  >`
    SELECT p.id, p.job_id, p.files, j.status, k.error::text AS error, p.cleaned_at IS NOT NULL AS cleaned,
      coalesce(k.stop_reason = 'cancelled', false) AS stopping, p.node_id
    FROM payloads p JOIN jobs j ON j.id = p.job_id LEFT JOIN tasks k ON k.job_id = j.id AND k.index = 0
    WHERE p.id = ${id}`;
  if (row === undefined) return null;
  return {
    id: row.id,
    jobId: row.job_id,
    files: row.files,
    status: row.status,
    error: row.error === null ? null : JSON.parse(row.error),
    cleaned: row.cleaned,
    cancelRequested: row.stopping,
    nodeId: row.node_id,
  };
}

/** The manifest of a payload as JSON text, as it was last recorded; null where none is. */
export async function recordedManifest(sql: Sql, id: number): Promise<string | null> {
  const [row] = await sql<{ manifest: string | null }[]>`
    SELECT manifest::text AS manifest FROM payloads WHERE id = ${id}`;
  return row?.manifest ?? null;
}

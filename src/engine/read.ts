import type { Runs } from "../db/client.ts";
import type { Failure } from "../runners/contract.ts";
import type { JobView, RunView, TaskView } from "./job-view.ts";
import { type JobCommon, type JobRow, type Row, readManySql, readOneSql, type TaskRow } from "./read-sql.ts";

export type { JobView, TaskView } from "./job-view.ts";

/** One job with its tasks, or null. */
export async function readJob(runs: Runs, id: string): Promise<JobView | null> {
  return (await readJobs(runs, [id]))[0] ?? null;
}

/** The jobs that exist among `ids`, in the order of `ids`. Of one moment: a job and its tasks fit together. */
export async function readJobs(runs: Runs, ids: readonly string[]): Promise<JobView[]> {
  if (ids.length === 0) return [];
  // What is asked for one job costs the same for every value, which Postgres sees, and keeps its plan.
  const [only] = ids;
  const rows =
    ids.length === 1 && only !== undefined
      ? await runs.unsafe<Row[]>(readOneSql, [only], { prepare: true })
      : await runs.unsafe<Row[]>(readManySql, [ids as string[]], { prepare: true });
  const byJob = Map.groupBy(rows, (row) => row.id);
  return ids.flatMap((id) => viewOf(byJob.get(id) ?? []) ?? []);
}

/** Only the status, for those who poll. Null when there is no such job. */
export async function readStatus(
  runs: Runs,
  id: string,
): Promise<{ status: JobView["status"]; lastSeq: number } | null> {
  const [row] = await runs.unsafe<{ status: JobView["status"]; last_seq: number }[]>(
    "SELECT status, last_seq FROM jobs WHERE id = $1",
    [id],
    { prepare: true },
  );
  return row === undefined ? null : { status: row.status, lastSeq: row.last_seq };
}

/** Of one job's rows; null where there are none. */
function viewOf(unsorted: Row[]): JobView | null {
  const rows = unsorted.toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0));
  const [job] = rows;
  if (job === undefined) return null;
  const tasks = rows.filter((row) => row.index !== null).map(taskView);
  const { status, webhook, details } = job;
  const failed = tasks.find((task) => task.error !== null && task.status === status);
  return {
    ...commonOf(job),
    attempts: Math.max(0, ...rows.map(({ attempt }) => attempt ?? 0)),
    max_attempts: Math.max(1, ...rows.map(({ max_attempts }) => max_attempts ?? 1)),
    input: JSON.parse(job.input ?? "null"),
    result: status === "succeeded" ? (tasks.at(-1)?.output ?? null) : null,
    error: status === "failed" || status === "cancelled" ? (failed?.error ?? cancelledError(status)) : null,
    tasks,
    payload: payloadOf(job),
    webhook: webhook === null ? null : { url: JSON.parse(webhook).url, state: deliveryState(job.delivery) },
    details: details === null ? {} : JSON.parse(details),
  };
}

function commonOf(job: JobRow): JobCommon {
  return {
    id: job.id,
    surface: job.surface,
    runner: job.runner,
    status: job.status,
    priority: job.priority,
    client: job.client,
    tags: job.tags,
    created_at: job.created_at,
    queued_at: job.queued_at,
    started_at: job.started_at,
    finished_at: job.finished_at,
    held: job.held,
    dedup_key: job.dedup_key,
    last_seq: job.last_seq,
  };
}

function taskView(row: TaskRow): TaskView {
  return {
    index: row.index,
    runner: row.task_runner,
    target: row.target,
    status: row.task_status,
    attempts: row.attempt,
    output: row.output === null ? null : JSON.parse(row.output),
    error: row.task_error === null ? null : (JSON.parse(row.task_error) as Failure),
    run: runOf(row),
  };
}

function runOf(row: TaskRow): RunView | null {
  if (row.task_status === "running" && row.run_id !== null)
    return { run_id: row.run_id, node: row.node_id ?? "", attempt: row.attempt };
  if (row.last_run_id === null) return null;
  const facts = row.facts === null ? {} : JSON.parse(row.facts);
  return { run_id: row.last_run_id, node: row.last_node ?? "", attempt: row.last_attempt ?? 0, ...facts };
}

function payloadOf({ payload_id, payload_files, payload_bytes, payload_cleaned }: JobRow): JobView["payload"] {
  if (payload_id === null) return null;
  return { id: payload_id, files: payload_files ?? 0, bytes: payload_bytes ?? 0, cleaned: payload_cleaned ?? false };
}

function cancelledError(status: "failed" | "cancelled"): Failure | null {
  return status === "cancelled" ? { code: "cancelled", message: "Cancelled" } : null;
}

function deliveryState(state: string | null): "none" | "pending" | "delivered" | "failed" {
  if (state === null) return "none";
  return state === "delivered" || state === "pending" ? state : "failed";
}

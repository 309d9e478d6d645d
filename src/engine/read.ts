import type { Runs } from "../db/client.ts";
import type { Failure } from "../runners/contract.ts";
import type { JobView, RunView, TaskView } from "./job-view.ts";

export type { JobView, TaskView } from "./job-view.ts";

/** One job with its tasks, or null. */
export async function readJob(runs: Runs, id: string): Promise<JobView | null> {
  return (await readJobs(runs, [id]))[0] ?? null;
}

/** The jobs that exist among `ids`, in the order of `ids`. */
export async function readJobs(runs: Runs, ids: readonly string[]): Promise<JobView[]> {
  if (ids.length === 0) return [];
  const jobs = await runs.unsafe<JobRow[]>(`${jobSelect} WHERE j.id = ANY($1::text[])`, [ids as string[]], {
    prepare: true,
  });
  const tasks = await runs.unsafe<TaskRow[]>(taskSelect, [jobs.map((job) => job.id)], { prepare: true });
  const byJob = Map.groupBy(tasks, (task) => task.job_id);
  const views = new Map(jobs.map((job) => [job.id, viewOf(job, byJob.get(job.id) ?? [])]));
  return ids.flatMap((id) => views.get(id) ?? []);
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

const moment = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

type JobRow = Omit<
  JobView,
  "input" | "result" | "error" | "tasks" | "payload" | "webhook" | "details" | "attempts" | "max_attempts"
> & {
  input: string;
  details: string | null;
  webhook: string | null;
  delivery: string | null;
  payload_id: number | null;
  payload_files: number | null;
  payload_bytes: number | null;
  payload_cleaned: boolean | null;
};

const jobSelect = `
SELECT j.id, j.surface, j.runner, j.status, j.priority, j.client, j.tags, ${moment("j.created_at")} AS created_at,
  ${moment("j.queued_at")} AS queued_at, ${moment("j.started_at")} AS started_at, ${moment("j.finished_at")} AS finished_at,
  j.held, j.input::text AS input, j.dedup_key, j.details::text AS details, j.webhook::text AS webhook, j.last_seq,
  (SELECT d.state FROM deliveries d WHERE d.job_id = j.id ORDER BY d.created_at DESC LIMIT 1) AS delivery,
  j.payload_id, p.files AS payload_files, p.bytes::float8 AS payload_bytes, p.cleaned_at IS NOT NULL AS payload_cleaned
FROM jobs j LEFT JOIN payloads p ON p.id = j.payload_id`;

type TaskRow = {
  job_id: string;
  index: number;
  runner: TaskView["runner"];
  target: string;
  status: TaskView["status"];
  attempt: number;
  max_attempts: number;
  output: string | null;
  error: string | null;
  run_id: string | null;
  node_id: string | null;
  last_run_id: string | null;
  last_node: string | null;
  facts: string | null;
  last_attempt: number | null;
};

const taskSelect = `
SELECT k.job_id, k.index, k.runner, k.target, k.status, k.attempt, k.max_attempts, k.output::text AS output, k.error::text AS error,
  k.run_id, k.node_id, r.run_id AS last_run_id, r.node_id AS last_node, r.facts::text AS facts, r.attempt AS last_attempt
FROM tasks k LEFT JOIN LATERAL (
  SELECT * FROM runs WHERE runs.job_id = k.job_id AND runs.task_index = k.index ORDER BY turn DESC LIMIT 1) r ON true
WHERE k.job_id = ANY($1::text[]) ORDER BY k.job_id, k.index`;

function viewOf(job: JobRow, rows: TaskRow[]): JobView {
  const tasks = rows.map(taskView);
  const last = tasks.at(-1);
  const failed = tasks.find((task) => task.error !== null && task.status === job.status);
  const { payload_id, payload_files, payload_bytes, payload_cleaned, delivery, webhook, details, ...rest } = job;
  return {
    ...rest,
    attempts: Math.max(0, ...rows.map((row) => row.attempt)),
    max_attempts: Math.max(1, ...rows.map((row) => row.max_attempts)),
    input: JSON.parse(job.input),
    result: job.status === "succeeded" ? (last?.output ?? null) : null,
    error: job.status === "failed" || job.status === "cancelled" ? (failed?.error ?? cancelledError(job.status)) : null,
    tasks,
    payload:
      payload_id === null
        ? null
        : { id: payload_id, files: payload_files ?? 0, bytes: payload_bytes ?? 0, cleaned: payload_cleaned ?? false },
    webhook: webhook === null ? null : { url: JSON.parse(webhook).url, state: deliveryState(delivery) },
    details: details === null ? {} : JSON.parse(details),
  };
}

function taskView(row: TaskRow): TaskView {
  return {
    index: row.index,
    runner: row.runner,
    target: row.target,
    status: row.status,
    attempts: row.attempt,
    output: row.output === null ? null : JSON.parse(row.output),
    error: row.error === null ? null : (JSON.parse(row.error) as Failure),
    run: runOf(row),
  };
}

function runOf(row: TaskRow): RunView | null {
  if (row.status === "running" && row.run_id !== null)
    return { run_id: row.run_id, node: row.node_id ?? "", attempt: row.attempt };
  if (row.last_run_id === null) return null;
  const facts = row.facts === null ? {} : JSON.parse(row.facts);
  return { run_id: row.last_run_id, node: row.last_node ?? "", attempt: row.last_attempt ?? 0, ...facts };
}

function cancelledError(status: "failed" | "cancelled"): Failure | null {
  return status === "cancelled" ? { code: "cancelled", message: "Cancelled" } : null;
}

function deliveryState(state: string | null): "none" | "pending" | "delivered" | "failed" {
  if (state === null) return "none";
  return state === "delivered" || state === "pending" ? state : "failed";
}

import type { JobView, TaskView } from "./job-view.ts";

/** A task of a job beside its job, or a job that has none. Only its first task has the job's input beside it, which may be large. */
export type Row = JobRow & (TaskRow | NoTask);

/** What a job's row holds as its readers see it. */
export type JobCommon = Pick<
  JobView,
  | "id"
  | "surface"
  | "runner"
  | "status"
  | "priority"
  | "client"
  | "tags"
  | "created_at"
  | "queued_at"
  | "started_at"
  | "finished_at"
  | "held"
  | "dedup_key"
  | "last_seq"
>;

export type JobRow = JobCommon & {
  input: string | null;
  details: string | null;
  webhook: string | null;
  delivery: string | null;
  payload_id: number | null;
  payload_files: number | null;
  payload_bytes: number | null;
  payload_cleaned: boolean | null;
};

export type TaskRow = {
  index: number;
  task_runner: TaskView["runner"];
  target: string;
  task_status: TaskView["status"];
  attempt: number;
  max_attempts: number;
  output: string | null;
  task_error: string | null;
  run_id: string | null;
  node_id: string | null;
  last_run_id: string | null;
  last_node: string | null;
  facts: string | null;
  last_attempt: number | null;
};
type NoTask = { [name in keyof TaskRow]: null };

const moment = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const isFirst = "coalesce(t.index, 0) = 0";

/**
 * Jobs with their tasks and the latest run of each, as they were at one moment. What holds JSON travels as text. The tasks are
 * looked up job by job: a plan that was made while the tables were small must not read large ones from end to end.
 */
const select = `
SELECT j.id, j.surface, j.runner, j.status, j.priority, j.client, j.tags, ${moment("j.created_at")} AS created_at,
  ${moment("j.queued_at")} AS queued_at, ${moment("j.started_at")} AS started_at, ${moment("j.finished_at")} AS finished_at,
  j.held, CASE WHEN ${isFirst} THEN j.input::text END AS input, j.dedup_key, j.details::text AS details, j.webhook::text AS webhook, j.last_seq,
  CASE WHEN ${isFirst} THEN (SELECT d.state FROM deliveries d WHERE d.job_id = j.id ORDER BY d.created_at DESC LIMIT 1) END AS delivery,
  j.payload_id, p.files AS payload_files, p.bytes::float8 AS payload_bytes, p.cleaned_at IS NOT NULL AS payload_cleaned,
  t.index, t.runner AS task_runner, t.target, t.status AS task_status, t.attempt, t.max_attempts, t.output::text AS output,
  t.error::text AS task_error, t.run_id, t.node_id,
  r.run_id AS last_run_id, r.node_id AS last_node, r.facts::text AS facts, r.attempt AS last_attempt
FROM jobs j LEFT JOIN payloads p ON p.id = j.payload_id
LEFT JOIN LATERAL (SELECT * FROM tasks k WHERE k.job_id = j.id OFFSET 0) t ON true
LEFT JOIN LATERAL (
  SELECT * FROM runs WHERE runs.job_id = t.job_id AND runs.task_index = t.index ORDER BY turn DESC LIMIT 1) r ON true`;

/** `$1` is an id. */
export const readOneSql = `${select} WHERE j.id = $1`;

/** `$1` is an array of ids. */
export const readManySql = `${select} WHERE j.id = ANY($1::text[])`;

import type { JobView } from "../../engine/job-view.ts";
import { directoriesOf, type TaskDirectories } from "./task-directory.ts";
import { maxRetriesUsual, type TaskStatus } from "./wire.ts";

/** A Task as the document models it, without its document, its secrets and its key. */
export type TaskView = TaskDirectories & {
  task_id: string;
  user_id: string;
  recording_id: string;
  endpoint_name: string;
  input_parameters: unknown;
  unique_parameter_names: string[];
  unique_parameters: unknown;
  dedup_key: string;
  created_at: string;
  allocated_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  status: TaskStatus;
  error: string | null;
  retry_count: number;
  max_retries: number;
  priority: number;
};

/** A job of this surface in the words of the protocol. */
export function taskViewOf(job: JobView): TaskView {
  const details = job.details;
  const text = (name: string) => (typeof details[name] === "string" ? details[name] : "");
  const names = details.unique_parameter_names;
  return {
    task_id: job.id,
    user_id: text("user_id"),
    recording_id: text("recording_id"),
    endpoint_name: text("endpoint_name"),
    input_parameters: job.input,
    unique_parameter_names: Array.isArray(names) ? names : [],
    unique_parameters: details.unique_parameters ?? null,
    dedup_key: text("dedup_key"),
    created_at: text("created_at") || job.created_at,
    allocated_at: text("allocated_at") || null,
    started_at: job.started_at,
    completed_at: job.finished_at,
    status: statusOf(job),
    error: job.error?.message ?? null,
    retry_count: Math.max(0, job.attempts - 1),
    max_retries: typeof details.max_retries === "number" ? details.max_retries : maxRetriesUsual,
    priority: job.priority,
    ...directoriesOf("optexity", job.id),
  };
}

/** The engine's status in the protocol's words. A task that waits for another attempt is queued again. */
export function statusOf(job: Pick<JobView, "status" | "attempts">): TaskStatus {
  switch (job.status) {
    case "queued":
      return job.attempts === 0 ? "allocated" : "queued";
    case "running":
      return "running";
    case "succeeded":
      return "success";
    case "failed":
      return "failed";
    case "cancelled":
      return "cancelled";
    default:
      return job.status satisfies never;
  }
}

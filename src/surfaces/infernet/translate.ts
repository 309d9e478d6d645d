import type { JobView, TaskView } from "../../engine/job-view.ts";
import type { ContainerResult, JobResult } from "./wire.ts";

/** A job in the protocol's words. Earlier outputs of a chain are there even when a later link failed. */
export function jobResult(job: JobView, withIntermediate: boolean): JobResult {
  const last = job.status === "succeeded" ? job.tasks.at(-1) : stoppedAt(job.tasks);
  const status = statusOf(job.status);
  const result = status === "running" || last === undefined ? null : containerResult(last, job);
  const intermediate = job.tasks
    .filter((task) => task !== last && task.status === "succeeded")
    .map((task) => containerResult(task, job));
  return withIntermediate
    ? { id: job.id, status, result, intermediate_results: intermediate }
    : { id: job.id, status, result };
}

/** The link that failed; the one that was never begun when the job was cancelled after a link had its output. */
function stoppedAt(tasks: TaskView[]): TaskView | undefined {
  return tasks.find((task) => task.error !== null) ?? tasks.find((task) => task.status !== "succeeded");
}

export function statusOf(status: JobView["status"]): JobResult["status"] {
  if (status === "succeeded") return "success";
  return status === "queued" || status === "running" ? "running" : "failed";
}

function containerResult(task: TaskView, job: JobView): ContainerResult {
  if (task.status === "succeeded") return { container: task.target, output: task.output };
  return { container: task.target, error: task.error?.message ?? job.error?.message ?? "Cancelled" };
}

import type { JobView, TaskView } from "../../engine/job-view.ts";
import type { ContainerResult, JobResult } from "./wire.ts";

/** A job in the protocol's words. Earlier outputs of a chain are there even when a later link failed. */
export function jobResult(job: JobView, withIntermediate: boolean): JobResult {
  const ended = job.tasks.filter((task) => task.output !== null || task.error !== null);
  const last = job.status === "succeeded" ? job.tasks.at(-1) : job.tasks.find((task) => task.error !== null);
  const status = statusOf(job.status);
  const result = status === "running" || last === undefined ? null : containerResult(last, job);
  const intermediate = ended
    .filter((task) => task !== last && task.status === "succeeded")
    .map((task) => containerResult(task, job));
  return withIntermediate
    ? { id: job.id, status, result, intermediate_results: intermediate }
    : { id: job.id, status, result };
}

export function statusOf(status: JobView["status"]): JobResult["status"] {
  if (status === "succeeded") return "success";
  return status === "queued" || status === "running" ? "running" : "failed";
}

function containerResult(task: TaskView, job: JobView): ContainerResult {
  if (task.status === "succeeded") return { container: task.target, output: task.output };
  return { container: task.target, error: task.error?.message ?? job.error?.message ?? "Cancelled" };
}

import type { JobView } from "../../engine/job-view.ts";

/** What a webhook receiver of this protocol gets: the bare result, or the failure. */
export function renderResult(_event: string, job: JobView): { contentType: string; body: string } {
  const body = job.status === "succeeded" ? job.result : { success: false, error: job.error?.message ?? "Cancelled" };
  return { contentType: "application/json", body: JSON.stringify(body ?? null) };
}

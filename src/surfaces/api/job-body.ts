import type { JobView } from "../../engine/job-view.ts";
import type { Waiting } from "../../engine/waiting.ts";
import type { Job } from "./wire-job.ts";

/** A job as this surface shows it. `details` stay inside: they are what another protocol must remember, secrets included. */
export function jobBody(job: JobView, publicUrl: string, waiting?: Waiting): Job {
  const self = jobLink(job.id, publicUrl);
  return {
    id: job.id,
    surface: job.surface,
    runner: job.runner,
    status: job.status,
    priority: job.priority,
    client: job.client,
    tags: job.tags,
    held: job.held,
    created_at: job.created_at,
    queued_at: job.queued_at,
    started_at: job.started_at,
    finished_at: job.finished_at,
    attempts: job.attempts,
    max_attempts: job.max_attempts,
    input: job.input,
    result: job.result,
    error: job.error,
    tasks: job.tasks,
    payload: job.payload,
    dedup_key: job.dedup_key,
    webhook: job.webhook,
    last_event: job.last_seq,
    ...(waiting === undefined ? {} : { waiting }),
    links: { self, events: `${self}/events`, files: `${self}/files` },
  };
}

/** What stands in a URL as it is; nearly every id does. */
const plainForm = /^[\w-]+$/;

/** Where a job is found. Relative to the service unless it knows its own address. */
export function jobLink(id: string, publicUrl: string): string {
  return `${publicUrl}/api/v1/jobs/${plainForm.test(id) ? id : encodeURIComponent(id)}`;
}

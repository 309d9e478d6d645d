import type { Render, Told } from "../../engine/deliveries.ts";
import { jobBody, jobLink } from "./job-body.ts";

/**
 * What a receiver of this surface is sent: `{"type":"job.completed","timestamp":…,"data":<the job>}`. News of output say only where it can be
 * read, since there may be much of it.
 */
export function createApiRender(publicUrl: string): (...told: Parameters<Render>) => Told {
  const base = publicUrl.replace(/\/$/, "");
  return (event, job) => {
    const data =
      event === "output"
        ? {
            id: job.id,
            status: job.status,
            last_event: job.last_seq,
            links: { self: jobLink(job.id, base), events: `${jobLink(job.id, base)}/events` },
          }
        : jobBody(job, base);
    const at = { completed: job.finished_at, started: job.started_at, output: null }[event];
    const body = { type: `job.${event}`, timestamp: at ?? new Date().toISOString(), data };
    return { contentType: "application/json", body: JSON.stringify(body) };
  };
}

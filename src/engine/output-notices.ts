import { isConnectionFault } from "../db/client.ts";
import type { Engine } from "./context.ts";
import { noticeOfOutput } from "./deliveries.ts";
import type { WebhookSpec } from "./submission.ts";

/** Tells the receivers that asked for it of new output, for jobs that run on this node. */
export type OutputNotices = {
  /** A job that may have such a receiver has written output. */
  note(jobId: string): void;
};

/** Between two notices of one job. */
const everyMs = 500;
/** A job that is silent for this long is forgotten, and looked up again when it speaks. */
const forgetAfterMs = 60_000;

type Known = { isAsked: boolean | null; noticedAtMs: number; timer: Timer | null };

/** The first output is told at once, what follows twice a second at most, and the last of it always. */
export function createOutputNotices(engine: Engine): OutputNotices {
  const jobs = new Map<string, Known>();
  const tell = async (jobId: string, job: Known) => {
    job.timer = null;
    job.noticedAtMs = performance.now();
    try {
      job.isAsked ??= await isAsked(engine, jobId);
      if (job.isAsked && (await noticeOfOutput(engine, jobId))) engine.onDelivery();
    } catch (fault) {
      // What was not told is told with the next output, or with the end; and there may be no database any more.
      if (!isConnectionFault(fault)) jobs.delete(jobId);
    }
  };
  return {
    note(jobId) {
      const job = jobs.get(jobId) ?? { isAsked: null, noticedAtMs: Number.NEGATIVE_INFINITY, timer: null };
      if (!jobs.has(jobId)) {
        forgetSilent(jobs);
        jobs.set(jobId, job);
      }
      if (job.isAsked === false || job.timer !== null) return;
      const waitMs = Math.max(0, everyMs - (performance.now() - job.noticedAtMs));
      job.timer = setTimeout(() => void tell(jobId, job), waitMs);
    },
  };
}

function forgetSilent(jobs: Map<string, Known>): void {
  const beforeMs = performance.now() - forgetAfterMs;
  for (const [jobId, job] of jobs) {
    if (job.timer === null && job.noticedAtMs < beforeMs) jobs.delete(jobId);
  }
}

async function isAsked({ db }: Engine, jobId: string): Promise<boolean> {
  const [row] = await db.sql<
    { webhook: string | null }[]
  >`SELECT webhook::text AS webhook FROM jobs WHERE id = ${jobId}`;
  const webhook: WebhookSpec | null = row?.webhook == null ? null : JSON.parse(row.webhook);
  return webhook?.events.includes("output") === true;
}

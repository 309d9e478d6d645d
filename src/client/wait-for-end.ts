import { createPatience, type ReconnectOptions } from "./patience.ts";
import { readJson, type Send } from "./send.ts";
import type { Job } from "./shapes.ts";

export type WaitOptions = ReconnectOptions & {
  /** Milliseconds after which the job is returned as it is then; for ever unless said. */
  timeoutMs?: number;
};

/** What is asked for at a time: connections that say nothing for longer are cut by what lies between. */
const askS = 25;

/** The job once it has ended, or as it is when the time is up; over lost connections and restarts of the service. */
export async function waitForEnd(send: Send, path: string, options: WaitOptions = {}): Promise<Job> {
  const { timeoutMs = Number.POSITIVE_INFINITY, signal } = options;
  const patience = createPatience(options);
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    const leftS = Math.max(0, Math.ceil((deadlineMs - Date.now()) / 1_000));
    try {
      const query = `?wait=${Math.min(askS, leftS)}`;
      const job = await readJson<Job>(await send(`${path}${query}`, signal === undefined ? {} : { signal }));
      patience.met();
      if (hasEnded(job) || Date.now() >= deadlineMs) return job;
    } catch (fault) {
      await patience.wait(fault);
    }
  }
}

export function hasEnded(job: Job): boolean {
  return job.status !== "queued" && job.status !== "running";
}

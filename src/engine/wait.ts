import { EngineError } from "../errors.ts";
import type { Engine } from "./context.ts";
import type { FinishedJob } from "./hub.ts";
import { isFinal, type Status } from "./status.ts";

const pollEveryMs = 2_000;

export type Wait = {
  /** How the job ended, or null when `ms` passed first, or this node stopped. */
  ended(ms: number, signal?: AbortSignal): Promise<FinishedJob | null>;
  close(): void;
};

/**
 * Waits for the end of a job. Made before the job is submitted it misses nothing: an end on this node arrives by
 * itself, another node's by notification, and polling is the floor under both.
 */
export function waitFor(engine: Engine, jobId: string): Wait {
  let settle: ((finished: FinishedJob | null) => void) | null = null;
  let early: FinishedJob | null = null;
  const stop = engine.hub.wait(jobId, (news) => {
    if (news === "look") void look();
    else if (news === "leave") settle?.(null);
    else {
      early = news;
      settle?.(news);
    }
  });
  async function look(): Promise<void> {
    // The database is away: the next look, or the caller's own limit, comes by itself.
    const finished = await readEnd(engine, jobId).catch(() => null);
    if (finished === null) return;
    early = finished;
    settle?.(finished);
  }
  return {
    async ended(ms, signal) {
      if (early !== null) return early;
      const until = performance.now() + ms;
      // One timer for both the poll and the limit: every waiting request has it.
      const tick = () => {
        const leftMs = until - performance.now();
        if (leftMs <= 0) return settle?.(null);
        void look();
        timer = setTimeout(tick, Math.min(pollEveryMs, leftMs));
      };
      let timer = setTimeout(tick, Math.min(pollEveryMs, ms));
      const onAbort = () => settle?.(null);
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        return await new Promise<FinishedJob | null>((resolve) => {
          settle = resolve;
          if (early !== null) resolve(early);
          else if (signal?.aborted) resolve(null);
        });
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      }
    },
    close: stop,
  };
}

/** The end of a job that may have ended already. Throws `not_found`. */
export async function waitForExisting(
  engine: Engine,
  jobId: string,
  ms: number,
  signal?: AbortSignal,
): Promise<FinishedJob | null> {
  const wait = waitFor(engine, jobId);
  try {
    const [row] = await engine.db.sql<{ status: Status }[]>`SELECT status FROM jobs WHERE id = ${jobId}`;
    if (row === undefined) throw new EngineError("not_found", `There is no job ${jobId}`);
    if (isFinal(row.status)) return await readEnd(engine, jobId);
    return await wait.ended(ms, signal);
  } finally {
    wait.close();
  }
}

async function readEnd(engine: Engine, jobId: string): Promise<FinishedJob | null> {
  const [row] = await engine.db.sql<{ status: Status; output: string | null; error: string | null }[]>`
    SELECT j.status, k.output::text AS output, k.error::text AS error
    FROM jobs j JOIN LATERAL (
      SELECT output, error FROM tasks WHERE job_id = j.id AND (status = j.status OR j.status = 'cancelled')
      ORDER BY error IS NULL, index DESC LIMIT 1) k ON true
    WHERE j.id = ${jobId}`;
  return row !== undefined && isFinal(row.status) ? { status: row.status, output: row.output, error: row.error } : null;
}

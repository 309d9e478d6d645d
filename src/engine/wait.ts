import { EngineError } from "../errors.ts";
import type { Engine } from "./context.ts";
import type { FinishedJob } from "./hub.ts";
import { isFinal, type Status } from "./status.ts";

const pollEveryMs = 2_000;

export type Wait = {
  /**
   * How the job ended, or null when `ms` passed first, or this node stopped. To be called once the job is committed. Throws
   * `unavailable` when it is there no more: its commit did not wait for the disk, and the database failed.
   */
  ended(ms: number, signal?: AbortSignal): Promise<FinishedJob | null>;
  close(): void;
};

/**
 * Waits for the end of a job. Made before the job is submitted it misses nothing: an end on this node arrives by
 * itself, another node's by notification, and polling is the floor under both.
 */
export function waitFor(engine: Engine, jobId: string): Wait {
  let settle: ((news: News) => void) | null = null;
  let early: News | undefined;
  const stop = engine.hub.wait(jobId, (news) => {
    if (news === "look") void look();
    else tell(news === "leave" ? null : news);
  });
  function tell(news: News): void {
    early ??= news;
    settle?.(news);
  }
  async function look(): Promise<void> {
    // What is read before that may be from before the commit.
    const isCommitted = settle !== null;
    // The database is away: the next look, or the caller's own limit, comes by itself.
    const found = await readEnd(engine, jobId).catch(() => "running" as const);
    if (found === "gone" && isCommitted)
      tell(new EngineError("unavailable", "The database failed before it had stored the job: send it again"));
    else if (typeof found === "object") tell(found);
  }
  return {
    async ended(ms, signal) {
      if (early !== undefined) return endOf(early);
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
        const news = await new Promise<News>((resolve) => {
          settle = resolve;
          if (signal?.aborted) resolve(null);
        });
        return endOf(news);
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      }
    },
    close: stop,
  };
}

/** The end, null for none, or the reason why there will never be one. */
type News = FinishedJob | null | EngineError;

function endOf(news: News): FinishedJob | null {
  if (news instanceof EngineError) throw news;
  return news;
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
    const found = isFinal(row.status) ? await readEnd(engine, jobId) : "running";
    return typeof found === "object" ? found : await wait.ended(ms, signal);
  } finally {
    wait.close();
  }
}

async function readEnd(engine: Engine, jobId: string): Promise<FinishedJob | "running" | "gone"> {
  const [row] = await engine.db.sql<{ status: Status; output: string | null; error: string | null }[]>`
    SELECT j.status, k.output::text AS output, k.error::text AS error
    FROM jobs j LEFT JOIN LATERAL (
      SELECT output, error FROM tasks WHERE job_id = j.id AND (status = j.status OR j.status = 'cancelled')
      ORDER BY error IS NULL, index DESC LIMIT 1) k ON true
    WHERE j.id = ${jobId}`;
  if (row === undefined) return "gone";
  return isFinal(row.status) ? { status: row.status, output: row.output, error: row.error } : "running";
}

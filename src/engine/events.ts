import type { Runs } from "../db/client.ts";
import { createBatcher } from "./batch.ts";
import type { Claimed } from "./claimed.ts";
import type { Engine } from "./context.ts";
import { appendSql } from "./finish-sql.ts";
import { linesJson, readLines, type TimedEvent } from "./history.ts";
import type { JobEvent } from "./hub.ts";
import { announce } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";

/** Events of one run, added together. */
type Append = { task: Claimed; events: TimedEvent[] };

export type Appender = {
  /** Resolves once they are committed. False when the run no longer owns its task: nothing was written. */
  append(task: Claimed, events: TimedEvent[]): Promise<boolean>;
  idle(): Promise<void>;
};

const groupMax = 200;

export function createAppender(engine: Engine): Appender {
  const batcher = createBatcher((group: Append[]) => writeGroup(engine, group), { groupMax });
  return { append: (task, events) => batcher.add({ task, events }), idle: () => batcher.idle() };
}

async function writeGroup(engine: Engine, group: Append[]): Promise<boolean[]> {
  const merged = mergedByRun(group);
  const rows = await engine.db.hot.unsafe<{ id: string; last_seq: number }[]>(
    appendSql,
    [JSON.stringify(merged.map(runRow))],
    { prepare: true },
  );
  const lastSeqs = new Map(rows.map((row) => [row.id, row.last_seq]));
  for (const { task, events } of merged) {
    const lastSeq = lastSeqs.get(task.jobId);
    if (lastSeq !== undefined) tellSubscribers(engine, task.jobId, lastSeq, events, "", null);
  }
  await announce(
    engine,
    engine.db.hot,
    rows.map((row) => ({ kind: "job", jobId: row.id })),
  );
  return group.map(({ task }) => lastSeqs.has(task.jobId));
}

function mergedByRun(group: Append[]): Append[] {
  const runs = new Map<string, Append>();
  for (const { task, events } of group) {
    const run = runs.get(task.runId);
    if (run === undefined) runs.set(task.runId, { task, events: [...events] });
    else run.events.push(...events);
  }
  return [...runs.values()];
}

function runRow({ task, events }: Append): Record<string, unknown> {
  return { j: task.jobId, t: task.index, r: task.runId, n: events.length, ev: linesJson(events) };
}

/** Adds events in the caller's transaction; returns the number of the last one. */
export async function addEvents(tx: Runs, jobId: string, runId: string | null, events: TimedEvent[]): Promise<number> {
  const [row] = await tx.unsafe<{ last_seq: number }[]>(
    `WITH job AS (UPDATE jobs SET last_seq = last_seq + $2 WHERE id = $1 RETURNING last_seq),
     logged AS (
       INSERT INTO events (job_id, seq, count, run_id, at, lines) SELECT $1, last_seq, $2, $3::uuid, now(), $4::text::json FROM job)
     SELECT last_seq FROM job`,
    [jobId, events.length, runId, linesJson(events)],
    { prepare: true },
  );
  return row?.last_seq ?? 0;
}

/** Events after number `after`, in order: those of up to `rowsMax` rows, and none when there are none. */
export async function eventsAfter(runs: Runs, jobId: string, after: number, rowsMax: number): Promise<JobEvent[]> {
  const rows = await runs.unsafe<{ seq: number; at: string; lines: string }[]>(
    `SELECT seq, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, lines::text AS lines
     FROM events WHERE job_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
    [jobId, after, rowsMax],
    { prepare: true },
  );
  return rows.flatMap((row) => readLines(row.seq, row.at, row.lines)).filter((event) => event.seq > after);
}

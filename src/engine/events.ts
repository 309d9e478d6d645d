import type { Runs } from "../db/client.ts";
import { createBatcher } from "./batch.ts";
import type { Claimed } from "./claimed.ts";
import type { Engine } from "./context.ts";
import { appendSql } from "./finish-sql.ts";
import { linesJson, type TimedEvent } from "./history.ts";
import type { JobEvent } from "./hub.ts";
import { announceAfter } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { readLines } from "./read-lines.ts";

/** Events of one run, added together. */
type Append = { task: Claimed; events: TimedEvent[]; lines: string; isRepeat: boolean };

export type Appender = {
  /**
   * Resolves once they are committed. False when the run no longer owns its task: nothing was written. `isRepeat` says
   * that the answer to the same call was lost, so that they may be there already.
   */
  append(task: Claimed, events: TimedEvent[], options?: { isRepeat: boolean }): Promise<boolean>;
  idle(): Promise<void>;
};

const groupMax = 200;

export function createAppender(engine: Engine): Appender {
  const batcher = createBatcher((group: Append[]) => writeGroup(engine, group), {
    groupMax,
    charsOf: ({ lines }) => lines.length,
  });
  return {
    async append(task, events, options) {
      await task.unwritten?.write();
      return batcher.add({ task, events, lines: linesJson(events), isRepeat: options?.isRepeat ?? false });
    },
    idle: () => batcher.idle(),
  };
}

async function writeGroup(engine: Engine, group: Append[]): Promise<boolean[]> {
  const there = await alreadyWritten(engine, group);
  const fresh = mergedByRun(group.filter((entry) => !there.has(entry)));
  const lastSeqs = await write(engine, fresh);
  for (const { task, events } of fresh) {
    const lastSeq = lastSeqs.get(task.runId);
    if (lastSeq === undefined) continue;
    tellSubscribers(engine, task.jobId, lastSeq, events, null);
    if (!task.plain && events.some(({ kind }) => kind === "output")) engine.onOutput(task.jobId);
  }
  for (const { task } of there) engine.hub.poke(task.jobId);
  const told = fresh.filter(({ task }) => lastSeqs.has(task.runId));
  await announceAfter(
    engine,
    told.map(({ task }) => ({ kind: "job", jobId: task.jobId })),
  );
  return group.map((entry) => there.has(entry) || lastSeqs.has(entry.task.runId));
}

/** A statement that updates a job's row twice would do it once. */
function mergedByRun(group: Append[]): Append[] {
  const byRun = Map.groupBy(group, ({ task }) => task.runId);
  return [...byRun.values()].map((entries) => {
    const [first] = entries as [Append, ...Append[]];
    if (entries.length === 1) return first;
    const events = entries.flatMap((entry) => entry.events);
    return { ...first, events, lines: linesJson(events) };
  });
}

/** Number of the newest event, by run. */
async function write(engine: Engine, group: Append[]): Promise<Map<string, number>> {
  if (group.length === 0) return new Map();
  const rows = await engine.db.hot.unsafe<{ run_id: string; last_seq: number }[]>(
    appendSql,
    [JSON.stringify(group.map(runRow))],
    { prepare: true },
  );
  return new Map(rows.map((row) => [row.run_id, row.last_seq]));
}

/** Those whose first write was done though its answer never came. */
async function alreadyWritten(engine: Engine, group: Append[]): Promise<Set<Append>> {
  const repeats = group.filter((entry) => entry.isRepeat);
  if (repeats.length === 0) return new Set();
  const rows = await engine.db.hot.unsafe<{ at: number }[]>(
    `SELECT x.at FROM json_to_recordset($1::text::json) AS x(at int, j text, r uuid, ev text)
     WHERE EXISTS (SELECT 1 FROM events e WHERE e.job_id = x.j AND e.run_id = x.r AND e.lines::text = x.ev)`,
    [JSON.stringify(repeats.map((entry, at) => ({ at, ...runRow(entry) })))],
  );
  return new Set(rows.flatMap((row) => repeats[row.at] ?? []));
}

function runRow({ task, events, lines }: Append): Record<string, unknown> {
  return { j: task.jobId, t: task.index, r: task.runId, n: events.length, ev: lines };
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

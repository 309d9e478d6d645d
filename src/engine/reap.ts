import { isConnectionFault } from "../db/client.ts";
import type { Claimed } from "./claimed.ts";
import { freeKey, stuckKeys } from "./concurrency.ts";
import type { Engine } from "./context.ts";
import { endingOfLost, lostRunsMax } from "./ending.ts";
import { announceQueued } from "./notify.ts";
import { afterPut, settleTask } from "./settle.ts";

const reapMax = 200;
const lastRunKey = "last run before it is given up as lost";

/** Whose runs are returned: those of nodes whose lease ran out, all of this node's name, or these of this node. */
export type Lost = "expired" | "own name" | { runIds: readonly string[] };

/** `faults` are of tasks that could not be returned; the others are not held up by them. */
export type Reaped = { returned: number; hasMore: boolean; faults: unknown[] };

/**
 * Returns the tasks of runs that nobody executes any more: each run is recorded as lost and its task queued again, or
 * failed when that happened too often. Any node may call it at any time: what another has returned meanwhile is left
 * alone by the fence. There is no lock around it, since a process that is frozen with the lock would stop all others.
 */
export async function reap(engine: Engine, lost: Lost): Promise<Reaped> {
  const { condition, values } = whichLost(engine, lost);
  const rows = await engine.db.lease.unsafe<LostRow[]>(
    `SELECT k.job_id, k.index, k.runner, k.target, k.turn, k.run_id, k.attempt, k.max_attempts, k.backoff_s, k.lost_runs, k.priority,
       (extract(epoch FROM coalesce(k.queued_at, k.started_at)) * 1000)::float8 AS queued_ms,
       (SELECT count(*)::int FROM tasks q WHERE q.job_id = k.job_id) AS task_count
     FROM tasks k LEFT JOIN nodes n ON n.id = k.node_id
     WHERE k.status = 'running' AND ${condition}
     LIMIT ${reapMax}`,
    values,
  );
  const reaped: Reaped = { returned: 0, hasMore: rows.length === reapMax, faults: [] };
  for (const task of rows.map(lostTask)) {
    try {
      if (task.lostRuns + 1 === lostRunsMax - 1) await setApart(engine, task.jobId);
      if ((await settleTask(engine, task, endingOfLost(task), null)) !== "stale") reaped.returned++;
    } catch (fault) {
      if (isConnectionFault(fault)) throw fault;
      reaped.faults.push(fault);
    }
  }
  return reaped;
}

/**
 * Of the tasks that are lost together one may kill whoever runs it, and it would take the others along until all are given up. Those
 * with one run left have it one after another. A job that has a concurrency key of its own keeps that.
 */
async function setApart(engine: Engine, jobId: string): Promise<void> {
  await engine.db.hot.unsafe(
    "UPDATE jobs SET concurrency_key = $2, concurrency_max = 1 WHERE id = $1 AND concurrency_key IS NULL AND finished_at IS NULL",
    [jobId, lastRunKey],
    { prepare: true },
  );
}

function whichLost(engine: Engine, lost: Lost): { condition: string; values: (string | string[])[] } {
  if (lost === "expired")
    return { condition: "k.node_id <> $1 AND (n.id IS NULL OR n.lease_until <= now())", values: [engine.nodeId] };
  if (lost === "own name") return { condition: "k.node_id = $1", values: [engine.nodeId] };
  return { condition: "k.node_id = $1 AND k.run_id = ANY($2::uuid[])", values: [engine.nodeId, [...lost.runIds]] };
}

/** Wakes tasks that are parked on a key with free places, should the node that had to do it be gone. */
export async function unpark(engine: Engine): Promise<void> {
  for (const { key, max } of await stuckKeys(engine.db.hot)) {
    const messages = await engine.db.hot.begin(async (tx) => {
      const freed = await freeKey(tx, key, max);
      await engine.queue.put(tx, freed);
      await announceQueued(engine, tx, freed);
      return freed;
    });
    for (const message of messages) afterPut(engine, message);
  }
}

type LostRow = {
  job_id: string;
  index: number;
  runner: Claimed["runner"];
  target: string;
  turn: number;
  run_id: string;
  attempt: number;
  max_attempts: number;
  backoff_s: number;
  lost_runs: number;
  priority: number;
  queued_ms: number;
  task_count: number;
};

function lostTask(row: LostRow): Claimed {
  return {
    jobId: row.job_id,
    index: row.index,
    runner: row.runner,
    target: row.target,
    turn: row.turn,
    runId: row.run_id,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    backoffS: row.backoff_s,
    lostRuns: row.lost_runs,
    priority: row.priority,
    timeoutMs: 0,
    inputJson: "null",
    optionsJson: null,
    limitsJson: null,
    payloadId: null,
    traceparent: null,
    surface: "",
    taskCount: row.task_count,
    plain: false,
    queuedAtMs: row.queued_ms,
    startedAtMs: row.queued_ms,
  };
}

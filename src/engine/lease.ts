import type { Sql } from "../db/client.ts";
import type { Claimed } from "./claimed.ts";
import { freeKey, stuckKeys } from "./concurrency.ts";
import type { Engine } from "./context.ts";
import { endingOfLost } from "./ending.ts";
import { announceAlways, announceQueued } from "./notify.ts";
import { afterPut, settleTask } from "./settle.ts";

export const leaseMs = 15_000;
export const renewEveryMs = 3_000;
/** A node that could not renew for this long stops its runs, well before anyone else may start them again. */
export const giveUpAfterMs = 10_000;

const reapMax = 200;

/** What a node says of itself with every renewal. */
export type NodeState = {
  capabilities: unknown;
  slots: unknown;
  region: string;
  version: string;
  lastClaimAtMs: number | null;
};

/** What it learns in return. `replaced` when another process has taken this node's name. */
export type Renewal = {
  replaced: boolean;
  hasPeers: boolean;
  expired: boolean;
  maintenance: boolean;
  draining: boolean;
  paused: string[];
  /** Jobs of which this node runs a task that was asked to stop. */
  stopping: string[];
};

/** Takes the node's name. The tasks that an earlier process of that name left running are the caller's to return. */
export async function register(
  sql: Sql,
  nodeId: string,
  bootId: string,
  state: NodeState,
): Promise<{ maintenance: boolean }> {
  const [row] = await sql.unsafe<{ maintenance: boolean }[]>(
    `INSERT INTO nodes (id, boot_id, version, region, capabilities, slots, lease_until)
     VALUES ($1, $2::uuid, $3, $4, $5::text::json, $6::text::json, now() + make_interval(secs => ${leaseMs / 1000}))
     ON CONFLICT (id) DO UPDATE SET boot_id = excluded.boot_id, version = excluded.version, region = excluded.region, draining = false,
       capabilities = excluded.capabilities, slots = excluded.slots, started_at = now(), renewed_at = now(), lease_until = excluded.lease_until
     RETURNING maintenance`,
    [nodeId, bootId, state.version, state.region, JSON.stringify(state.capabilities), JSON.stringify(state.slots)],
  );
  await announceAlways(sql, [{ kind: "nodes" }]);
  return { maintenance: row?.maintenance ?? false };
}

/** One statement: the lease goes on, and everything a node must know of its surroundings comes back. */
export async function renew(sql: Sql, nodeId: string, bootId: string, state: NodeState): Promise<Renewal> {
  const [row] = await sql.unsafe<
    {
      maintenance: boolean;
      draining: boolean;
      peers: boolean;
      expired: boolean;
      paused: string[];
      stopping: string[];
    }[]
  >(
    `WITH mine AS (
       UPDATE nodes SET renewed_at = now(), lease_until = now() + make_interval(secs => ${leaseMs / 1000}), slots = $3::text::json,
         capabilities = $4::text::json, last_claim_at = coalesce(to_timestamp($5::float8 / 1000), last_claim_at)
       WHERE id = $1 AND boot_id = $2::uuid RETURNING maintenance, draining)
     SELECT mine.maintenance, mine.draining,
       EXISTS (SELECT 1 FROM nodes WHERE id <> $1 AND lease_until > now()) AS peers,
       EXISTS (SELECT 1 FROM nodes n WHERE n.id <> $1 AND n.lease_until <= now()
               AND EXISTS (SELECT 1 FROM tasks k WHERE k.node_id = n.id AND k.status = 'running')) AS expired,
       coalesce((SELECT array_agg(queue::text) FROM pauses), '{}') AS paused,
       coalesce((SELECT array_agg(job_id::text) FROM tasks WHERE node_id = $1 AND status = 'running' AND stop_reason IS NOT NULL), '{}') AS stopping
     FROM mine`,
    [nodeId, bootId, JSON.stringify(state.slots), JSON.stringify(state.capabilities), state.lastClaimAtMs],
    { prepare: true },
  );
  if (row === undefined)
    return {
      replaced: true,
      hasPeers: true,
      expired: false,
      maintenance: true,
      draining: true,
      paused: [],
      stopping: [],
    };
  return {
    replaced: false,
    hasPeers: row.peers,
    expired: row.expired,
    maintenance: row.maintenance,
    draining: row.draining,
    paused: row.paused,
    stopping: row.stopping,
  };
}

/** Ends the lease in order: nothing of this node runs any more. */
export async function resign(sql: Sql, nodeId: string, bootId: string): Promise<void> {
  await sql`UPDATE nodes SET lease_until = now(), renewed_at = now() WHERE id = ${nodeId} AND boot_id = ${bootId}::uuid`;
  await announceAlways(sql, [{ kind: "nodes" }]);
}

/**
 * Returns the tasks of nodes whose lease ran out, and of `ownName` when this process has just taken that name: each run
 * is recorded as lost and its task queued again. Any node may call it at any time; the fence keeps it harmless.
 */
export async function reap(engine: Engine, options: { ownName: boolean }): Promise<number> {
  const rows = await engine.db.sql.unsafe<LostRow[]>(
    `SELECT k.job_id, k.index, k.runner, k.target, k.turn, k.run_id, k.attempt, k.max_attempts, k.backoff_s, k.lost_runs, k.priority,
       (extract(epoch FROM coalesce(k.queued_at, k.started_at)) * 1000)::float8 AS queued_ms,
       (SELECT count(*)::int FROM tasks q WHERE q.job_id = k.job_id) AS task_count
     FROM tasks k LEFT JOIN nodes n ON n.id = k.node_id
     WHERE k.status = 'running' AND (n.id IS NULL OR n.lease_until <= now() OR ($1 AND k.node_id = $2)) AND (k.node_id <> $2 OR $1)
     LIMIT ${reapMax}`,
    [options.ownName, engine.nodeId],
  );
  for (const row of rows) {
    const task = lostTask(row);
    await settleTask(engine, task, endingOfLost(task), null);
  }
  return rows.length;
}

/** Wakes tasks that are parked on a key with free places, should the node that had to do it be gone. */
export async function unpark(engine: Engine): Promise<void> {
  for (const { key, max } of await stuckKeys(engine.db.sql)) {
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

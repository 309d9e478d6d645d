import type { Sql } from "../db/client.ts";
import { queueNames } from "./queues.ts";

type Slots = { used: number; limit: number };

/**
 * A node as readers see it. `lost`: its lease ran out; `stopped`: it gave the lease up; `unhealthy`: it takes nothing of what
 * waits for it, and `complaint` says so. None of these begins anything.
 */
export type NodeView = {
  id: string;
  version: string;
  region: string;
  state: "ready" | "unhealthy" | "maintenance" | "draining" | "lost" | "stopped";
  complaint: string | null;
  slots: Record<string, Slots>;
  capabilities: Record<string, unknown>;
  running: number;
  started_at: string;
  renewed_at: string;
  last_claim_at: string | null;
};

/** A queue as readers see it: one per runner. Counts end at `countMax`, and then `is_capped` is true. */
export type QueueView = {
  name: string;
  paused: boolean;
  paused_by: string | null;
  paused_at: string | null;
  /** Tasks that could run now, had they a slot. */
  backlog: number;
  /** Tasks that wait for their time. */
  delayed: number;
  /** Tasks that wait for their concurrency key. */
  parked: number;
  is_capped: boolean;
  running: number;
  oldest_waiting_at: string | null;
  oldest_waiting_s: number | null;
  last_claim_at: string | null;
  slots: Slots;
};

const nodesMax = 1_000;
const countMax = 100_000;
const prioritiesMax = 1_000;
const moment = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const canRunNow = "NOT parked AND (not_before IS NULL OR not_before <= now())";

/** Every node that is known, those that live first. */
export async function readNodes(sql: Sql): Promise<NodeView[]> {
  const rows = await sql.unsafe<(Omit<NodeView, "slots" | "capabilities"> & { slots: string; capabilities: string })[]>(
    `SELECT id, version, region, slots::text AS slots, capabilities::text AS capabilities,
       CASE WHEN lease_until <= renewed_at THEN 'stopped' WHEN lease_until <= now() THEN 'lost'
            WHEN draining THEN 'draining' WHEN maintenance THEN 'maintenance' WHEN complaint IS NOT NULL THEN 'unhealthy' ELSE 'ready' END AS state, complaint,
       (SELECT count(*)::int FROM tasks k WHERE k.node_id = n.id AND k.status = 'running') AS running,
       ${moment("started_at")} AS started_at, ${moment("renewed_at")} AS renewed_at, ${moment("last_claim_at")} AS last_claim_at
     FROM nodes n ORDER BY n.lease_until > now() DESC, id LIMIT ${nodesMax}`,
    [],
    { prepare: true },
  );
  return rows.map((row) => ({ ...row, slots: JSON.parse(row.slots), capabilities: JSON.parse(row.capabilities) }));
}

/** Every queue with what waits in it. */
export async function readQueues(sql: Sql): Promise<QueueView[]> {
  return sql.unsafe<QueueView[]>(queuesSql, [queueNames as unknown as string[]], { prepare: true });
}

// The oldest of a queue is the oldest of one of its priorities, and the index is ordered by priority: one step per priority.
const queuesSql = `
SELECT q.name, p.queue IS NOT NULL AS paused, p.by AS paused_by, ${moment("p.at")} AS paused_at,
  c.backlog, c.delayed, c.parked, c.counted > ${countMax} AS is_capped, running.count AS running,
  ${moment("oldest.at")} AS oldest_waiting_at,
  CASE WHEN oldest.at IS NOT NULL THEN round(greatest(0, extract(epoch FROM now() - oldest.at))::numeric, 3)::float8 END AS oldest_waiting_s,
  ${moment("alive.last_claim_at")} AS last_claim_at,
  json_build_object('used', coalesce(alive.used, 0), 'limit', coalesce(alive.slots, 0)) AS slots
FROM unnest($1::text[]) WITH ORDINALITY AS q(name, place)
LEFT JOIN pauses p ON p.queue = q.name
CROSS JOIN LATERAL (
  SELECT count(*)::int AS counted, count(*) FILTER (WHERE parked)::int AS parked,
    count(*) FILTER (WHERE NOT parked AND not_before > now())::int AS delayed,
    count(*) FILTER (WHERE ${canRunNow})::int AS backlog
  FROM (SELECT parked, not_before FROM tasks
        WHERE runner = q.name AND status = 'queued' AND queued_at IS NOT NULL LIMIT ${countMax + 1}) k
) c
CROSS JOIN LATERAL (
  WITH RECURSIVE step AS (
    (SELECT priority, queued_at, 1 AS n FROM tasks WHERE runner = q.name AND status = 'queued' AND queued_at IS NOT NULL AND ${canRunNow}
     ORDER BY priority, queued_at LIMIT 1)
    UNION ALL
    SELECT next.priority, next.queued_at, step.n + 1 FROM step CROSS JOIN LATERAL (
      SELECT priority, queued_at FROM tasks WHERE runner = q.name AND status = 'queued' AND queued_at IS NOT NULL
        AND ${canRunNow} AND priority > step.priority ORDER BY priority, queued_at LIMIT 1) next
    WHERE step.n < ${prioritiesMax})
  SELECT min(queued_at) AS at FROM step
) oldest
CROSS JOIN LATERAL (SELECT count(*)::int AS count FROM tasks WHERE status = 'running' AND runner = q.name) running
LEFT JOIN LATERAL (
  SELECT sum((slots->q.name->>'used')::int)::int AS used, sum((slots->q.name->>'limit')::int)::int AS slots,
    max(coalesce(to_timestamp((slots->q.name->>'lastClaimAtMs')::float8 / 1000), last_claim_at)) AS last_claim_at
  FROM nodes WHERE lease_until > now() AND slots->q.name IS NOT NULL
) alive ON true
ORDER BY q.place`;

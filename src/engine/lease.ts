import type { Sql } from "../db/client.ts";
import { announceAlways } from "./notify.ts";

/**
 * How long a lease holds and how often it is renewed. A node that could not renew for `giveUpAfterMs` stops its runs,
 * well before anyone else may start them again.
 */
export type LeaseTimes = { leaseMs: number; renewEveryMs: number; giveUpAfterMs: number };
export const leaseTimes: LeaseTimes = leaseTimesOf(15);

/** The times that go with a lease of so many seconds. */
export function leaseTimesOf(leaseS: number): LeaseTimes {
  const leaseMs = leaseS * 1_000;
  return { leaseMs, renewEveryMs: leaseMs / 5, giveUpAfterMs: (leaseMs * 2) / 3 };
}

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
  /** Runs that are this node's by the database's word, begun before the last renewal. */
  owned: string[];
};

/** Takes the node's name. The tasks that an earlier process of that name left running are the caller's to return. */
export async function register(
  sql: Sql,
  nodeId: string,
  bootId: string,
  state: NodeState,
  times = leaseTimes,
): Promise<{ maintenance: boolean }> {
  const [row] = await sql.unsafe<{ maintenance: boolean }[]>(
    `INSERT INTO nodes (id, boot_id, version, region, capabilities, slots, lease_until)
     VALUES ($1, $2::uuid, $3, $4, $5::text::json, $6::text::json, now() + make_interval(secs => $7::float8 / 1000))
     ON CONFLICT (id) DO UPDATE SET boot_id = excluded.boot_id, version = excluded.version, region = excluded.region, draining = false,
       capabilities = excluded.capabilities, slots = excluded.slots, started_at = now(), renewed_at = now(), lease_until = excluded.lease_until
     RETURNING maintenance`,
    [
      nodeId,
      bootId,
      state.version,
      state.region,
      JSON.stringify(state.capabilities),
      JSON.stringify(state.slots),
      times.leaseMs,
    ],
  );
  await announceAlways(sql, [{ kind: "nodes" }]);
  return { maintenance: row?.maintenance ?? false };
}

/** One statement: the lease goes on, and everything a node must know of its surroundings comes back. */
export async function renew(
  sql: Sql,
  nodeId: string,
  bootId: string,
  state: NodeState,
  times = leaseTimes,
): Promise<Renewal> {
  const [row] = await sql.unsafe<Omit<Renewal, "replaced">[]>(
    `WITH mine AS (
       UPDATE nodes SET renewed_at = now(), lease_until = now() + make_interval(secs => $6::float8 / 1000), slots = $3::text::json,
         capabilities = $4::text::json, last_claim_at = coalesce(to_timestamp($5::float8 / 1000), last_claim_at)
       WHERE id = $1 AND boot_id = $2::uuid RETURNING maintenance, draining)
     SELECT mine.maintenance, mine.draining,
       EXISTS (SELECT 1 FROM nodes WHERE id <> $1 AND lease_until > now()) AS "hasPeers",
       EXISTS (SELECT 1 FROM nodes n WHERE n.id <> $1 AND n.lease_until <= now()
               AND EXISTS (SELECT 1 FROM tasks k WHERE k.node_id = n.id AND k.status = 'running')) AS expired,
       coalesce((SELECT array_agg(queue::text) FROM pauses), '{}') AS paused,
       coalesce((SELECT array_agg(job_id::text) FROM tasks WHERE node_id = $1 AND status = 'running' AND stop_reason IS NOT NULL), '{}') AS stopping,
       coalesce((SELECT array_agg(run_id::text) FROM tasks WHERE node_id = $1 AND status = 'running'
                 AND started_at < now() - make_interval(secs => $7::float8 / 1000)), '{}') AS owned
     FROM mine`,
    [
      nodeId,
      bootId,
      JSON.stringify(state.slots),
      JSON.stringify(state.capabilities),
      state.lastClaimAtMs,
      times.leaseMs,
      times.renewEveryMs,
    ],
    { prepare: true },
  );
  return row === undefined ? outlived : { replaced: false, ...row };
}

const outlived: Renewal = {
  replaced: true,
  hasPeers: true,
  expired: false,
  maintenance: true,
  draining: true,
  paused: [],
  stopping: [],
  owned: [],
};

/** Ends the lease in order: nothing of this node runs any more. */
export async function resign(sql: Sql, nodeId: string, bootId: string): Promise<void> {
  await sql`UPDATE nodes SET lease_until = now(), renewed_at = now() WHERE id = ${nodeId} AND boot_id = ${bootId}::uuid`;
  await announceAlways(sql, [{ kind: "nodes" }]);
}

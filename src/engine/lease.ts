import type { Sql } from "../db/client.ts";
import { overdueSql } from "../queue/boss.ts";
import type { PeerSlots } from "./context.ts";
import { needsStampSql } from "./need-book.ts";
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
  return { leaseMs, renewEveryMs: leaseMs / 5, giveUpAfterMs: Math.round((leaseMs * 2) / 3) };
}

/** What a node says of itself with every renewal. */
export type NodeState = {
  capabilities: unknown;
  slots: unknown;
  region: string;
  version: string;
  lastClaimAtMs: number | null;
};

/** What it asks of its work with every renewal. */
export type WorkState = {
  /** This process ends: it begins nothing more. */
  isLeaving: boolean;
  /** Why it takes no work though it should. */
  complaint: string | null;
  /** Queues of which it took nothing for `patienceMs`. */
  suspects: string[];
  patienceMs: number;
};
const noWork: WorkState = { isLeaving: false, complaint: null, suspects: [], patienceMs: 0 };

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
  /** Other nodes with free slots, by runner. */
  idlePeers: Record<string, PeerSlots>;
  /** The database's clock, in ms since the epoch. */
  databaseMs: number;
  /** Another text whenever needs have come or gone. */
  needsStamp: string;
  /** Those of the suspects in which something has waited for all that time. */
  overdue: string[];
};

/** Takes the node's name. The tasks that an earlier process of that name left running are the caller's to return. */
export async function register(
  sql: Sql,
  nodeId: string,
  bootId: string,
  state: NodeState,
  times = leaseTimes,
): Promise<{ maintenance: boolean }> {
  return { maintenance: (await takeName(sql, [nodeId, bootId], state, times, "true"))?.maintenance ?? false };
}

/** Takes the name back that another process took, if that one's lease is over. Otherwise as `register`. */
export async function reclaim(
  sql: Sql,
  nodeId: string,
  bootId: string,
  state: NodeState,
  times = leaseTimes,
): Promise<boolean> {
  return (await takeName(sql, [nodeId, bootId], state, times, "nodes.lease_until <= now()")) !== null;
}

async function takeName(
  sql: Sql,
  [nodeId, bootId]: [string, string],
  state: NodeState,
  times: LeaseTimes,
  condition: string,
): Promise<{ maintenance: boolean } | null> {
  const [row] = await sql.unsafe<{ maintenance: boolean }[]>(
    `INSERT INTO nodes (id, boot_id, version, region, capabilities, slots, lease_until)
     VALUES ($1, $2::uuid, $3, $4, $5::text::json, $6::text::json, now() + make_interval(secs => $7::float8 / 1000))
     ON CONFLICT (id) DO UPDATE SET boot_id = excluded.boot_id, version = excluded.version, region = excluded.region, draining = false,
       complaint = NULL, capabilities = excluded.capabilities, slots = excluded.slots, started_at = now(), renewed_at = now(),
       lease_until = excluded.lease_until
     WHERE ${condition}
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
  if (row === undefined) return null;
  await announceAlways(sql, [{ kind: "nodes" }]);
  return row;
}

/** One statement: the lease goes on, and everything a node must know of its surroundings comes back. */
export async function renew(
  sql: Sql,
  nodeId: string,
  bootId: string,
  state: NodeState,
  times = leaseTimes,
  work = noWork,
): Promise<Renewal> {
  const [row] = await sql.unsafe<(Omit<Renewal, "replaced" | "idlePeers"> & { peers: string })[]>(
    `WITH mine AS (
       UPDATE nodes SET renewed_at = now(), lease_until = now() + make_interval(secs => $6::float8 / 1000), slots = $3::text::json,
         capabilities = $4::text::json, draining = draining OR $8::bool, complaint = $9::text, last_claim_at = coalesce(to_timestamp($5::float8 / 1000), last_claim_at)
       WHERE id = $1 AND boot_id = $2::uuid RETURNING maintenance, draining)
     SELECT mine.maintenance, mine.draining,
       EXISTS (SELECT 1 FROM nodes WHERE id <> $1 AND lease_until > now()) AS "hasPeers",
       EXISTS (SELECT 1 FROM nodes n WHERE n.id <> $1 AND n.lease_until <= now()
               AND EXISTS (SELECT 1 FROM tasks k WHERE k.node_id = n.id AND k.status = 'running')) AS expired,
       coalesce((SELECT array_agg(queue::text) FROM pauses), '{}') AS paused,
       coalesce((SELECT array_agg(job_id::text) FROM tasks WHERE node_id = $1 AND status = 'running' AND stop_reason IS NOT NULL), '{}') AS stopping,
       coalesce((SELECT array_agg(run_id::text) FROM tasks WHERE node_id = $1 AND status = 'running'
                 AND started_at < now() - make_interval(secs => $7::float8 / 1000)), '{}') AS owned,
       ${idlePeersSql} AS peers, ${needsStampSql} AS "needsStamp",
       (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "databaseMs",
       ARRAY(${overdueSql("$10::text[]", "$11::float8 / 1000")}) AS overdue
     FROM mine`,
    [
      nodeId,
      bootId,
      JSON.stringify(state.slots),
      JSON.stringify(state.capabilities),
      state.lastClaimAtMs,
      times.leaseMs,
      times.renewEveryMs,
      work.isLeaving,
      work.complaint,
      work.suspects,
      work.patienceMs,
    ],
    { prepare: true },
  );
  if (row === undefined) return outlived;
  const { peers, ...rest } = row;
  return { replaced: false, ...rest, idlePeers: JSON.parse(peers) };
}

const idlePeersSql = `coalesce((
  SELECT json_object_agg(runner, json_build_object('nodes', nodes, 'used', used, 'limit', slots))::text FROM (
    SELECT s.key AS runner, count(*)::int AS nodes, sum((s.value->>'used')::int)::int AS used, sum((s.value->>'limit')::int)::int AS slots
    FROM nodes n CROSS JOIN LATERAL json_each(n.slots) s
    WHERE n.id <> $1 AND n.lease_until > now() AND NOT n.maintenance AND NOT n.draining AND n.complaint IS NULL
      AND (s.value->>'used')::int < (s.value->>'limit')::int
    GROUP BY s.key) free), '{}')`;

const outlived: Renewal = {
  replaced: true,
  hasPeers: true,
  expired: false,
  maintenance: true,
  draining: true,
  paused: [],
  stopping: [],
  owned: [],
  idlePeers: {},
  databaseMs: 0,
  needsStamp: "",
  overdue: [],
};

/** Ends the lease in order: nothing of this node runs any more. */
export async function resign(sql: Sql, nodeId: string, bootId: string): Promise<void> {
  await sql`UPDATE nodes SET lease_until = now(), renewed_at = now() WHERE id = ${nodeId} AND boot_id = ${bootId}::uuid`;
  await announceAlways(sql, [{ kind: "nodes" }]);
}

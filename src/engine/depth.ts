import type { Sql } from "../db/client.ts";
import { queueNames } from "./queues.ts";

/** Priorities in classes, since there are millions: 1 is usual, and lower ones go first. */
export type PriorityClass = "high" | "usual" | "low";

/**
 * What waits in one queue, by class and surface. `state` is `ready` when it could run had it a slot, `delayed` until its
 * time comes, `parked` behind its concurrency key.
 */
export type Waiting = {
  runner: string;
  priority: PriorityClass;
  surface: string;
  state: "ready" | "delayed" | "parked";
  tasks: number;
};

/** How long the longest waiting task that could run has waited. */
export type Oldest = { runner: string; priority: PriorityClass; surface: string; waitedS: number };

/** The whole cluster at one moment. Seconds are never negative. */
export type Depth = {
  waiting: Waiting[];
  oldest: Oldest[];
  running: { runner: string; tasks: number }[];
  nodes: { state: "ready" | "maintenance" | "draining" | "lost"; nodes: number }[];
  deliveries: { pending: number; overdueS: number };
};

/** Of each queue and class so many are looked at, those that would be claimed next: each costs a look at its job, too. */
export const lookedAtMax = 10_000;
const countMax = 100_000;
const prioritiesMax = 200;
const statementMaxMs = 10_000;

/** Reads what a cluster has before it, in a time that is bounded however much that is. Only indexes are walked. */
export async function readDepth(sql: Sql): Promise<Depth> {
  return sql.begin("READ ONLY", async (tx) => {
    await tx.unsafe(`SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
      SET LOCAL statement_timeout = ${statementMaxMs}`);
    const queues = [queueNames as unknown as string[]];
    const waiting = await tx.unsafe<(Waiting & { waitedS: number })[]>(waitingSql, queues);
    const heads = await tx.unsafe<Oldest[]>(headsSql, queues);
    const running = await tx.unsafe<Depth["running"]>(runningSql, queues);
    const nodes = await tx.unsafe<Depth["nodes"]>(nodesSql);
    const [deliveries] = await tx.unsafe<Depth["deliveries"][]>(deliveriesSql);
    const oldest = longest([...heads, ...waiting.filter(({ state }) => state === "ready")]);
    return { waiting, oldest, running, nodes, deliveries: deliveries ?? { pending: 0, overdueS: 0 } };
  });
}

/** One for each runner, class and surface. */
function longest(found: readonly Oldest[]): Oldest[] {
  const byKey = new Map<string, Oldest>();
  for (const { runner, priority, surface, waitedS } of found) {
    const key = `${runner} ${priority} ${surface}`;
    if (waitedS >= (byKey.get(key)?.waitedS ?? 0)) byKey.set(key, { runner, priority, surface, waitedS });
  }
  return [...byKey.values()];
}

const isWaiting = "status = 'queued' AND queued_at IS NOT NULL";
const isReady = `${isWaiting} AND NOT parked AND (not_before IS NULL OR not_before <= now())`;
const classOf = (priority: string) =>
  `CASE WHEN ${priority} < 1 THEN 'high' WHEN ${priority} = 1 THEN 'usual' ELSE 'low' END`;
const waited = (since: string) => `greatest(0, extract(epoch FROM now() - ${since}))::float8`;
const surfaceOf = (jobId: string) => `coalesce((SELECT j.surface FROM jobs j WHERE j.id = ${jobId}), 'gone')`;

const waitingSql = `
SELECT q.name AS runner, c.name AS priority, k.surface, k.state, count(*)::int AS tasks, ${waited("min(k.queued_at)")} AS "waitedS"
FROM unnest($1::text[]) AS q(name)
CROSS JOIN (VALUES ('high', -2147483648, 0), ('usual', 1, 1), ('low', 2, 2147483647)) AS c(name, least, most)
CROSS JOIN LATERAL (
  SELECT w.queued_at, ${surfaceOf("w.job_id")} AS surface,
    CASE WHEN w.parked THEN 'parked' WHEN w.not_before > now() THEN 'delayed' ELSE 'ready' END AS state
  FROM (SELECT job_id, queued_at, parked, not_before FROM tasks
        WHERE runner = q.name AND ${isWaiting} AND priority BETWEEN c.least AND c.most
        ORDER BY priority, queued_at LIMIT ${lookedAtMax}) w
) k
GROUP BY 1, 2, 3, 4`;

// The oldest of a queue is the oldest of one of its priorities, and the index is ordered by priority: one step per priority.
const headsSql = `
SELECT q.name AS runner, ${classOf("head.priority")} AS priority, ${surfaceOf("head.job_id")} AS surface, ${waited("head.queued_at")} AS "waitedS"
FROM unnest($1::text[]) AS q(name)
CROSS JOIN LATERAL (
  WITH RECURSIVE step AS (
    (SELECT priority, queued_at, job_id, 1 AS n FROM tasks WHERE runner = q.name AND ${isReady} ORDER BY priority, queued_at LIMIT 1)
    UNION ALL
    SELECT next.priority, next.queued_at, next.job_id, step.n + 1 FROM step CROSS JOIN LATERAL (
      SELECT priority, queued_at, job_id FROM tasks WHERE runner = q.name AND ${isReady} AND priority > step.priority
      ORDER BY priority, queued_at LIMIT 1) next
    WHERE step.n < ${prioritiesMax})
  SELECT priority, queued_at, job_id FROM step
) head`;

const runningSql = `
SELECT q.name AS runner, (
  SELECT count(*)::int FROM (SELECT 1 FROM tasks WHERE status = 'running' AND runner = q.name LIMIT ${countMax}) k) AS tasks
FROM unnest($1::text[]) AS q(name)`;

const nodesSql = `
SELECT CASE WHEN lease_until <= now() THEN 'lost' WHEN draining THEN 'draining' WHEN maintenance THEN 'maintenance' ELSE 'ready' END AS state,
  count(*)::int AS nodes
FROM nodes WHERE lease_until > renewed_at GROUP BY 1`;

const deliveriesSql = `
SELECT (SELECT count(*)::int FROM (SELECT 1 FROM deliveries WHERE state = 'pending' LIMIT ${countMax}) d) AS pending,
  coalesce((SELECT ${waited("next_at")} FROM deliveries WHERE state = 'pending' ORDER BY next_at LIMIT 1), 0) AS "overdueS"`;

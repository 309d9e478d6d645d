import type { Runs } from "../db/client.ts";

/** Why a queued job does not run yet. `position` is its place in its queue, from 1; null when it is not in line, or too far back to be counted. */
export type Waiting = { position: number | null; reason: string };

type Row = {
  id: string;
  runner: string;
  target: string;
  held: boolean;
  delayed_until: string | null;
  parked: boolean;
  paused: boolean;
  nodes: number;
  open: number;
  able: number;
  fitting: number;
  free: boolean;
  ahead: number | null;
};

/** What a node calls the list of what it can run, by runner. One that keeps no such list is taken to run everything. */
const listed = `CASE k.runner WHEN 'function' THEN 'functions' WHEN 'container' THEN 'containers' ELSE 'automations' END`;

/**
 * Why these jobs wait, by id; those that are not queued are left out. At most `aheadMax` tasks in front of each are counted,
 * since a queue may hold millions.
 */
export async function readWaiting(
  runs: Runs,
  ids: readonly string[],
  options: { aheadMax: number },
): Promise<Map<string, Waiting>> {
  if (ids.length === 0) return new Map();
  const rows = await runs.unsafe<Row[]>(waitingSql, [ids as string[], options.aheadMax], { prepare: true });
  return new Map(rows.map((row) => [row.id, waitingOf(row)]));
}

// A chain waits with its first task that is not done. Whether a slot is free is as old as the nodes' last renewal.
const waitingSql = `
WITH waiting AS (
  SELECT DISTINCT ON (j.id) j.id, j.held, k.runner, k.target, k.priority, k.queued_at, k.parked, k.not_before, ${listed} AS list
  FROM jobs j JOIN tasks k ON k.job_id = j.id AND k.status = 'queued'
  WHERE j.id = ANY($1::text[]) AND j.status = 'queued'
  ORDER BY j.id, k.index
), alive AS (
  SELECT slots, capabilities, maintenance OR draining AS closed FROM nodes WHERE lease_until > now()
)
SELECT w.id, w.runner, w.target, w.held, w.parked,
  CASE WHEN w.not_before > now() THEN to_char(w.not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END AS delayed_until,
  EXISTS (SELECT 1 FROM pauses p WHERE p.queue = w.runner) AS paused, n.*,
  CASE WHEN w.held OR w.parked OR w.queued_at IS NULL OR w.not_before > now() THEN NULL ELSE (
    SELECT CASE WHEN count(*) <= $2 THEN count(*)::int END FROM (
      SELECT 1 FROM tasks t WHERE t.runner = w.runner AND t.status = 'queued' AND t.queued_at IS NOT NULL
        AND (t.priority, t.queued_at) < (w.priority, w.queued_at) AND NOT t.parked AND (t.not_before IS NULL OR t.not_before <= now())
      LIMIT $2::int + 1) before) END AS ahead
FROM waiting w CROSS JOIN LATERAL (
  SELECT count(*)::int AS nodes, count(*) FILTER (WHERE NOT closed)::int AS open,
    count(*) FILTER (WHERE NOT closed AND able)::int AS able,
    count(*) FILTER (WHERE NOT closed AND able AND fits)::int AS fitting,
    coalesce(bool_or(NOT closed AND able AND fits AND (slots->w.runner->>'used')::int < (slots->w.runner->>'limit')::int), false) AS free
  FROM (SELECT slots, closed, slots->w.runner IS NOT NULL AS able,
          w.runner = 'script' OR capabilities->w.list IS NULL OR (capabilities->w.list)::jsonb ? w.target AS fits FROM alive) a
) n`;

function waitingOf(row: Row): Waiting {
  return { position: row.ahead === null ? null : row.ahead + 1, reason: reasonOf(row) };
}

function reasonOf(row: Row): string {
  if (row.held) return "held";
  if (row.delayed_until !== null) return `delayed until ${row.delayed_until}`;
  if (row.parked) return "concurrency key full";
  if (row.paused) return "paused";
  if (row.nodes === 0) return "no node is up";
  if (row.open === 0) return "maintenance";
  if (row.able === 0) return `no node runs ${row.runner} tasks`;
  if (row.fitting === 0) return `no node with ${row.runner} ${row.target}`;
  return row.free ? "about to start" : "no free slot";
}

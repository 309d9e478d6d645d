import type { Runs } from "../db/client.ts";
import { equippedSql, knownTargetSql, knowsSql } from "./able.ts";

/** Why a queued job does not run yet. `position` is its place in its queue, from 1; null when it is not in line, or too far back to be counted. */
export type Waiting = { position: number | null; reason: string };

type Row = {
  id: string;
  runner: string;
  /** What a node must know; empty when nothing. */
  target: string;
  region: string | null;
  tags: string[];
  held: boolean;
  delayed_until: string | null;
  parked: boolean;
  paused: boolean;
  nodes: number;
  open: number;
  able: number;
  equipped: number;
  has_target: boolean;
  has_region: boolean;
  missing_tags: string[];
  fitting: number;
  well: number;
  free: boolean;
  ahead: number | null;
};

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
  SELECT DISTINCT ON (j.id) j.id, j.held, k.runner, ${knownTargetSql("k")} AS target, k.requires->>'region' AS region,
    ARRAY(SELECT json_array_elements_text(k.requires->'tags')) AS tags, k.priority, k.queued_at, k.parked, k.not_before
  FROM jobs j JOIN tasks k ON k.job_id = j.id AND k.status = 'queued'
  WHERE j.id = ANY($1::text[]) AND j.status = 'queued'
  ORDER BY j.id, k.index
), alive AS (
  SELECT slots, region, capabilities, complaint, ARRAY(SELECT json_array_elements_text(capabilities->'tags')) AS tags,
    maintenance OR draining AS closed
  FROM nodes WHERE lease_until > now()
)
SELECT w.id, w.runner, w.target, w.region, w.tags, w.held, w.parked,
  CASE WHEN w.not_before > now() THEN to_char(w.not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END AS delayed_until,
  EXISTS (SELECT 1 FROM pauses p WHERE p.queue = w.runner) AS paused, n.*,
  ARRAY(SELECT t FROM unnest(w.tags) t WHERE NOT EXISTS (
    SELECT 1 FROM alive a WHERE NOT a.closed AND a.slots->w.runner IS NOT NULL AND t = ANY(a.tags))) AS missing_tags,
  CASE WHEN w.held OR w.parked OR w.queued_at IS NULL OR w.not_before > now() THEN NULL ELSE (
    SELECT CASE WHEN count(*) <= $2 THEN count(*)::int END FROM (
      SELECT 1 FROM tasks t WHERE t.runner = w.runner AND t.status = 'queued' AND t.queued_at IS NOT NULL
        AND (t.priority, t.queued_at) < (w.priority, w.queued_at) AND NOT t.parked AND (t.not_before IS NULL OR t.not_before <= now())
      LIMIT $2::int + 1) before) END AS ahead
FROM waiting w CROSS JOIN LATERAL (
  SELECT count(*)::int AS nodes, count(*) FILTER (WHERE open)::int AS open, count(*) FILTER (WHERE able)::int AS able,
    count(*) FILTER (WHERE able AND equipped)::int AS equipped,
    coalesce(bool_or(able AND knows), false) AS has_target, coalesce(bool_or(able AND here), false) AS has_region,
    count(*) FILTER (WHERE fits)::int AS fitting, count(*) FILTER (WHERE fits AND complaint IS NULL)::int AS well,
    coalesce(bool_or(fits AND complaint IS NULL AND (slots->w.runner->>'used')::int < (slots->w.runner->>'limit')::int), false) AS free
  FROM (SELECT *, able AND equipped AND knows AND here AND tags @> w.tags AS fits FROM (
    SELECT slots, tags, complaint, NOT closed AS open, NOT closed AND slots->w.runner IS NOT NULL AS able,
      ${equippedSql("capabilities", "w.runner")} AS equipped, ${knowsSql("capabilities", "w.runner", "w.target")} AS knows,
      w.region IS NULL OR w.region = region AS here
    FROM alive) one) a
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
  if (row.fitting === 0) return missing(row).join(", ");
  if (row.well === 0) return "no healthy node";
  return row.free ? "about to start" : "no free slot";
}

const equipment: Partial<Record<string, string>> = { automation: "Chromium", script: "a sandbox" };

/** What no node has that could otherwise run it; or all of it, when each is somewhere and never together. */
function missing(row: Row): string[] {
  const { runner, target, region, tags } = row;
  const gone = [
    ...(row.equipped > 0 ? [] : [`no node with ${equipment[runner] ?? runner}`]),
    ...(row.has_target ? [] : [`no node with ${runner} ${target}`]),
    ...(row.has_region ? [] : [`no node in region ${region}`]),
    ...(row.missing_tags.length === 0 ? [] : [`no node with ${tagsOf(row.missing_tags)}`]),
  ];
  if (gone.length > 0) return gone;
  const needed = [equipment[runner], target === "" ? undefined : `${runner} ${target}`];
  const wanted = [...needed, tags.length === 0 ? undefined : tagsOf(tags)].filter((word) => word !== undefined);
  return [`no node ${region === null ? "" : `in region ${region} `}with ${wanted.join(" and ")}`];
}

function tagsOf(tags: readonly string[]): string {
  return `${tags.length === 1 ? "tag" : "tags"} ${tags.join(", ")}`;
}

import { queueSchema } from "./schema.ts";

/**
 * What pg-boss's `fetch` selects, deleted at once. Its own `fetch` marks every message active before `deleteJob` removes it:
 * twice the writes, for a state that nobody sees inside our transaction. The order and the conditions are those of 12.35.0.
 * The commit does not wait for the disk: a claim that is lost with the database's machine leaves the messages where they were.
 */
export const takeSql = deleting(nextSql(""));

/** The same from a place on. What was put by transactions at one time gets its place some moments before others can see it. */
export const takeFromSql = deleting(`
  SELECT id FROM (
    SELECT id FROM (${nextSql("AND priority = $3::int AND created_on >= $4::timestamptz - interval '250 ms'")}) equals
    UNION ALL SELECT id FROM (${nextSql("AND priority < $3::int")}) others
  ) next LIMIT $2`);

function nextSql(where: string): string {
  return `
    SELECT id FROM ${queueSchema}.job
    WHERE name = $1 AND state < 'active' AND NOT blocked AND start_after <= now() ${where}
    ORDER BY priority DESC, created_on LIMIT $2 FOR UPDATE SKIP LOCKED`;
}

function deleting(ids: string): string {
  return `
  DELETE FROM ${queueSchema}.job WHERE name = $1 AND id = ANY (ARRAY(${ids}))
  RETURNING id, data, priority AS p, created_on::text AS at, (SELECT set_config('synchronous_commit', 'off', true)) AS flush`;
}

/**
 * First who would be next, over all queues, as many as all nodes could take; then of each queue as many as are among
 * this node's share. Those that another claim holds are passed over, for the ones behind them.
 */
export const takeShareSql = `
WITH heads AS MATERIALIZED (
  SELECT q.name, head.priority, head.created_on, head.keyed
  FROM unnest($1::text[]) AS q(name) CROSS JOIN LATERAL (
    SELECT priority, created_on, data->'c' IS NOT NULL AS keyed FROM ${queueSchema}.job j
    WHERE j.name = q.name AND state < 'active' AND NOT blocked AND start_after <= now()
    ORDER BY priority DESC, created_on LIMIT $2::int * $3::int) head
  ORDER BY head.priority DESC, head.created_on LIMIT $2::int * $3::int
), share AS (
  SELECT name FROM heads ORDER BY priority DESC, created_on
  LIMIT (SELECT CASE WHEN bool_or(keyed) THEN $2::int ELSE least($2::int, greatest(1, ceil(count(*) / $3::float8)::int)) END FROM heads)
), quota AS (
  SELECT name, count(*) AS count FROM share GROUP BY name
), picked AS MATERIALIZED (
  SELECT mine.name, mine.id FROM quota CROSS JOIN LATERAL (
    SELECT j.name, j.id FROM ${queueSchema}.job j
    WHERE j.name = quota.name AND state < 'active' AND NOT blocked AND start_after <= now()
    ORDER BY priority DESC, created_on LIMIT quota.count FOR UPDATE SKIP LOCKED) mine
)
DELETE FROM ${queueSchema}.job j USING picked WHERE j.name = picked.name AND j.id = picked.id
RETURNING j.id, j.data, j.priority AS p, j.created_on::text AS at, (SELECT count(*)::int FROM heads) AS waiting`;

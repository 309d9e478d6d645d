import type { Sql } from "../db/client.ts";

/** A delivery that this process has taken to hand over now. */
export type DueDelivery = {
  id: string;
  jobId: string;
  url: string;
  sealed: string | null;
  contentType: string;
  body: string;
  /** 1 for the first try. */
  attempt: number;
};

/** One try, as it is kept: times in ms, `response` the first 1,000 characters of the answer. */
export type DeliveryAttempt = {
  at: string;
  status: number | null;
  duration_ms: number;
  response: string | null;
  error: string | null;
};

export type DeliveryVerdict = { state: "delivered" | "failed" } | { state: "pending"; afterMs: number };

/**
 * Takes up to `most` deliveries that are due. Nobody else gets them for `claimS` seconds; should this process die they
 * are due again after that. Of one lane only the oldest that is not done is handed out.
 */
export async function takeDue(sql: Sql, most: number, claimS: number): Promise<DueDelivery[]> {
  return sql.unsafe<DueDelivery[]>(
    `UPDATE deliveries SET attempt = attempt + 1, claimed_until = now() + make_interval(secs => $2)
     WHERE id IN (
       SELECT d.id FROM deliveries d
       WHERE d.state = 'pending' AND d.next_at <= now() AND (d.claimed_until IS NULL OR d.claimed_until < now())
         AND (d.lane IS NULL OR NOT EXISTS (
           SELECT 1 FROM deliveries e WHERE e.lane = d.lane AND e.state = 'pending' AND (e.created_at, e.id) < (d.created_at, d.id)))
       ORDER BY d.next_at LIMIT $1 FOR UPDATE SKIP LOCKED)
     RETURNING id, job_id AS "jobId", url, sealed, content_type AS "contentType", body, attempt`,
    [most, claimS],
    { prepare: true },
  );
}

/** Milliseconds until the next delivery is due, or null when none waits. */
export async function nextDueMs(sql: Sql): Promise<number | null> {
  const [row] = await sql<{ ms: number | null }[]>`
    SELECT (extract(epoch FROM min(greatest(next_at, coalesce(claimed_until, next_at))) - now()) * 1000)::float8 AS ms
    FROM deliveries WHERE state = 'pending'`;
  return row?.ms == null ? null : Math.max(0, row.ms);
}

/** Records a try and what follows from it. False when another process had taken the delivery meanwhile. */
export async function recordAttempt(
  sql: Sql,
  due: DueDelivery,
  tried: DeliveryAttempt,
  verdict: DeliveryVerdict,
): Promise<boolean> {
  const waitS = verdict.state === "pending" ? verdict.afterMs / 1000 : 0;
  const rows = await sql.unsafe(
    `UPDATE deliveries SET state = $3, attempts = (attempts::jsonb || $4::text::jsonb)::json, claimed_until = NULL,
       next_at = CASE WHEN $3 = 'pending' THEN now() + make_interval(secs => $5) END,
       delivered_at = CASE WHEN $3 = 'delivered' THEN now() END
     WHERE id = $1 AND attempt = $2 AND state = 'pending' RETURNING id`,
    [due.id, due.attempt, verdict.state, JSON.stringify([tried]), waitS],
    { prepare: true },
  );
  return rows.length === 1;
}

import type { Sql } from "../db/client.ts";

/** A delivery that this process has taken to hand over now. */
export type DueDelivery = {
  id: string;
  jobId: string;
  /** How the job's webhook is told about it; null for a delivery without a webhook of its job. */
  kind: string | null;
  url: string;
  sealed: string | null;
  contentType: string;
  body: string;
  /** The trace that its job belongs to. */
  traceparent: string | null;
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

/** What may be taken now: `most` in all, `mostPerHost` of one host, none of `busyHosts` (as `hostKey` writes them). */
export type Taking = { most: number; claimS: number; mostPerHost: number; busyHosts: readonly string[] };

/** Looked at per taking. One host with more than this in front is passed over as soon as it is busy. */
const candidatesMax = 500;
/** Tries kept of a delivery, the newest ones: redelivery has no end. */
const attemptsKept = 100;
const hostPattern = "^[a-z][a-z0-9+.-]*://([^/?#]*)";

/** The host part of a URL as takers compare it: the text as it stands, in lower case. */
export function hostKey(url: string): string {
  return new RegExp(hostPattern).exec(url.toLowerCase())?.[1] ?? "";
}

const hostOf = (alias: string) => `coalesce(substring(lower(${alias}.url) from '${hostPattern}'), '')`;

/** Due, claimed by nobody, and the oldest of its lane. */
const isTakeable = `d.state = 'pending' AND (d.claimed_until IS NULL OR d.claimed_until < now())
  AND (d.lane IS NULL OR NOT EXISTS (
    SELECT 1 FROM deliveries e WHERE e.lane = d.lane AND e.state = 'pending' AND (e.created_at, e.id) < (d.created_at, d.id)))`;

/**
 * Takes deliveries that are due. Nobody else gets them for `claimS` seconds, or longer with `keepClaims`; should this
 * process die they are due again after that. Of one lane only the oldest that is not done is handed out.
 */
export async function takeDue(sql: Sql, { most, claimS, mostPerHost, busyHosts }: Taking): Promise<DueDelivery[]> {
  return sql.unsafe<DueDelivery[]>(
    `WITH due AS (
       SELECT d.id, d.next_at, ${hostOf("d")} AS host FROM deliveries d
       WHERE d.next_at <= now() AND ${isTakeable} AND ${hostOf("d")} <> ALL ($3::text[])
       ORDER BY d.next_at LIMIT ${candidatesMax}
     ), fair AS (
       SELECT id, next_at, row_number() OVER (PARTITION BY host ORDER BY next_at, id) AS place FROM due
     )
     UPDATE deliveries SET attempt = attempt + 1, claimed_until = now() + make_interval(secs => $2)
     WHERE id IN (
       SELECT d.id FROM deliveries d JOIN fair USING (id)
       WHERE fair.place <= $4 AND d.next_at <= now() AND d.state = 'pending' AND (d.claimed_until IS NULL OR d.claimed_until < now())
       ORDER BY fair.next_at LIMIT $1 FOR UPDATE OF d SKIP LOCKED)
     RETURNING id, job_id AS "jobId", url, sealed, content_type AS "contentType", body, attempt,
       (SELECT j.webhook->>'kind' FROM jobs j WHERE j.id = job_id) AS kind,
       (SELECT j.traceparent FROM jobs j WHERE j.id = job_id) AS traceparent`,
    [most, claimS, busyHosts as string[], mostPerHost],
    { prepare: true },
  );
}

/** Gives deliveries back that were taken and not tried: the try does not count, and they are due again in `afterMs`. */
export async function giveBack(sql: Sql, taken: readonly DueDelivery[], afterMs: number): Promise<void> {
  const rows = taken.map(({ id, attempt }) => ({ id, attempt }));
  await sql.unsafe(
    `UPDATE deliveries d SET attempt = d.attempt - 1, claimed_until = NULL, next_at = now() + make_interval(secs => $2)
     FROM json_to_recordset($1::text::json) AS x(id text, attempt int)
     WHERE d.id = x.id AND d.attempt = x.attempt AND d.state = 'pending'`,
    [JSON.stringify(rows), afterMs / 1000],
    { prepare: true },
  );
}

/** Keeps deliveries that are still on their way from others for another `claimS` seconds. */
export async function keepClaims(sql: Sql, taken: readonly DueDelivery[], claimS: number): Promise<void> {
  const rows = taken.map(({ id, attempt }) => ({ id, attempt }));
  await sql.unsafe(
    `UPDATE deliveries d SET claimed_until = now() + make_interval(secs => $2)
     FROM json_to_recordset($1::text::json) AS x(id text, attempt int)
     WHERE d.id = x.id AND d.attempt = x.attempt AND d.state = 'pending'`,
    [JSON.stringify(rows), claimS],
    { prepare: true },
  );
}

/** Milliseconds until the next delivery can be taken, or null when none can be foreseen. Those on their way do not count. */
export async function nextDueMs(sql: Sql, busyHosts: readonly string[]): Promise<number | null> {
  const [row] = await sql.unsafe<{ ms: number }[]>(
    `SELECT (extract(epoch FROM d.next_at - now()) * 1000)::float8 AS ms FROM deliveries d
     WHERE ${isTakeable} AND ${hostOf("d")} <> ALL ($1::text[]) ORDER BY d.next_at LIMIT 1`,
    [busyHosts as string[]],
    { prepare: true },
  );
  return row === undefined ? null : Math.max(0, row.ms);
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
    `UPDATE deliveries SET state = $3, claimed_until = NULL,
       attempts = (jsonb_path_query_array(attempts::jsonb, '$[last - ${attemptsKept - 2} to last]') || $4::text::jsonb)::json,
       next_at = CASE WHEN $3 = 'pending' THEN now() + make_interval(secs => $5) END,
       delivered_at = CASE WHEN $3 = 'delivered' THEN now() END
     WHERE id = $1 AND attempt = $2 AND state = 'pending' RETURNING id`,
    [due.id, due.attempt, verdict.state, JSON.stringify([tried]), waitS],
    { prepare: true },
  );
  return rows.length === 1;
}

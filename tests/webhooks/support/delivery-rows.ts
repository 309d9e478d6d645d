import type { Sql } from "../../../src/db/client.ts";
import { silentLog } from "../../../src/log.ts";
import { Sender, type SenderOptions } from "../../../src/webhooks/deliver.ts";
import { parseNetworks } from "../../../src/webhooks/networks.ts";

export type Row = {
  id: string;
  state: string;
  attempt: number;
  attempts: { at: string; status: number | null; duration_ms: number; response: string | null; error: string | null }[];
  /** Seconds until the next try; null when there is none. */
  due_s: number | null;
  is_claimed: boolean;
};

let count = 0;

/** Writes a delivery that is due; returns its id. */
export async function writeDelivery(
  sql: Sql,
  url: string,
  more: { lane?: string; jobId?: string; body?: string; sealed?: string; ageS?: number } = {},
): Promise<string> {
  const id = `msg_${String(++count).padStart(6, "0")}`;
  await sql`
    INSERT INTO deliveries (id, job_id, event, lane, url, sealed, content_type, body, state, next_at, created_at)
    VALUES (${id}, ${more.jobId ?? "job"}, 'completed', ${more.lane ?? null}, ${url}, ${more.sealed ?? null}, 'application/json',
      ${more.body ?? `{"id":"${id}"}`}, 'pending', now() - make_interval(secs => ${more.ageS ?? 0}), now())`;
  return id;
}

export async function readDelivery(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql<(Omit<Row, "attempts"> & { attempts: string })[]>`
    SELECT id, state, attempt, attempts::text AS attempts, extract(epoch FROM next_at - now())::float8 AS due_s,
      coalesce(claimed_until > now(), false) AS is_claimed
    FROM deliveries WHERE id = ${id}`;
  if (row === undefined) throw new Error(`there is no delivery ${id}`);
  return { ...row, attempts: JSON.parse(row.attempts) };
}

/** A sender that reaches loopback, with a second for each attempt. */
export function senderOn(sql: Sql, more: Partial<SenderOptions> = {}): Sender {
  return new Sender({
    sql,
    log: silentLog(),
    allow: parseNetworks(["127.0.0.0/8"]),
    timeoutMs: 1_000,
    retries: { retriesMax: null, delayMs: null },
    secrets: [],
    headers: {},
    sealKeys: [],
    ...more,
  });
}

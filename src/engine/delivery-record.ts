import type { Sql } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import type { DeliveryAttempt } from "./delivery-queue.ts";
import type { Engine } from "./context.ts";

/** A delivery as readers see it. Headers and body are in no answer: they may hold secrets. */
export type DeliveryView = {
  id: string;
  job_id: string;
  event: string;
  url: string;
  state: "pending" | "delivered" | "failed";
  created_at: string;
  /** When the next try is made; null when none is. */
  next_at: string | null;
  delivered_at: string | null;
  /** Oldest first. */
  attempts: DeliveryAttempt[];
};

const shownMax = 1_000;
const moment = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
const columns = `id, job_id, event, url, state, ${moment("created_at")} AS created_at, ${moment("next_at")} AS next_at,
  ${moment("delivered_at")} AS delivered_at, attempts::text AS attempts`;

type Row = Omit<DeliveryView, "attempts"> & { attempts: string };

/** The deliveries of a job, oldest first, at most the newest thousand. Throws `not_found` when there is no such job. */
export async function readDeliveries(sql: Sql, jobId: string): Promise<DeliveryView[]> {
  const rows = await sql.unsafe<Row[]>(
    `SELECT ${columns} FROM deliveries WHERE job_id = $1 ORDER BY deliveries.created_at DESC, id DESC LIMIT ${shownMax}`,
    [jobId],
    { prepare: true },
  );
  if (rows.length === 0) await assertJob(sql, jobId);
  return rows.map(viewOf).toReversed();
}

/**
 * Hands a delivery over once more, now, under the id it has, with the tries of a fresh one. What has been tried stays on
 * record. Throws `not_found`, and `conflict` while a try is under way.
 */
export async function redeliver(engine: Engine, id: string): Promise<DeliveryView> {
  const { sql } = engine.db;
  const [row] = await sql.unsafe<Row[]>(
    `UPDATE deliveries SET state = 'pending', attempt = 0, next_at = now(), claimed_until = NULL, delivered_at = NULL
     WHERE id = $1 AND (claimed_until IS NULL OR claimed_until < now()) RETURNING ${columns}`,
    [id],
  );
  if (row === undefined) throw await refusal(sql, id);
  engine.onDelivery();
  return viewOf(row);
}

async function assertJob(sql: Sql, jobId: string): Promise<void> {
  const [job] = await sql`SELECT 1 FROM jobs WHERE id = ${jobId}`;
  if (job === undefined) throw new EngineError("not_found", `There is no job ${jobId}`);
}

async function refusal(sql: Sql, id: string): Promise<EngineError> {
  const [row] = await sql`SELECT 1 FROM deliveries WHERE id = ${id}`;
  if (row === undefined) return new EngineError("not_found", `There is no delivery ${id}`);
  return new EngineError("conflict", `Delivery ${id} is being handed over right now`);
}

function viewOf(row: Row): DeliveryView {
  return { ...row, attempts: JSON.parse(row.attempts) };
}

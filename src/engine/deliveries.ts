import type { Runs } from "../db/client.ts";
import type { Engine } from "./context.ts";
import { type JobView, readJob } from "./read.ts";
import type { WebhookSpec } from "./submission.ts";

/** One body for a receiver; `url` when it goes elsewhere than to the webhook's own. */
export type Told = { contentType: string; body: string; url?: string };

/**
 * Turns a job into what its receiver is sent: one body, or several that are handed over one after another in this order. One a
 * webhook `kind`; a surface's own words. Pure.
 */
export type Render = (event: "started" | "completed" | "output", job: JobView) => Told | Told[];

/** Writes the delivery of a job's end in the transaction that ends it. */
export async function deliveryOnEnd(engine: Engine, tx: Runs, jobId: string, webhookJson: string): Promise<void> {
  await writeDelivery(engine, tx, jobId, JSON.parse(webhookJson), "completed");
}

/** Writes the delivery of a job's start in the transaction that claims it. */
export async function deliveryOnStart(engine: Engine, tx: Runs, jobId: string, webhookJson: string): Promise<void> {
  await writeDelivery(engine, tx, jobId, JSON.parse(webhookJson), "started");
}

/**
 * Tells of new output, when the job still runs. News that nobody has taken yet is written anew rather than followed by more of its kind.
 * False when there is nobody to tell.
 */
export async function noticeOfOutput(engine: Engine, jobId: string): Promise<boolean> {
  const job = await readJob(engine.db.sql, jobId);
  const [row] = await engine.db.sql<
    { webhook: string }[]
  >`SELECT webhook::text AS webhook FROM jobs WHERE id = ${jobId}`;
  if (row === undefined || job === null || job.status !== "running") return false;
  const webhook: WebhookSpec = JSON.parse(row.webhook);
  const [told] = rendered(engine, webhook.kind, "output", job);
  if (told === undefined || told.fault !== null) return false;
  const { contentType, body, fault } = told;
  const updated = await engine.db.sql`
    UPDATE deliveries SET body = ${body} WHERE job_id = ${jobId} AND event = 'output' AND state = 'pending'
      AND (claimed_until IS NULL OR claimed_until < now()) RETURNING id`;
  if (updated.length > 0) return true;
  await insert(engine.db.sql, { jobId, event: "output", webhook, contentType, body, fault });
  return true;
}

async function writeDelivery(
  engine: Engine,
  tx: Runs,
  jobId: string,
  webhook: WebhookSpec,
  event: "started" | "completed",
): Promise<void> {
  if (!webhook.events.includes(event)) return;
  const job = await readJob(tx, jobId);
  if (job === null) throw new Error(`job ${jobId} has a webhook and no row`);
  for (const told of rendered(engine, webhook.kind, event, job)) await insert(tx, { jobId, event, webhook, ...told });
}

type Rendered = Told & {
  /** Why it cannot be told, or null. */
  fault: string | null;
};
type News = Rendered & { jobId: string; event: string; webhook: WebhookSpec };

/** Who is told of more than the end is told in order: the job is a lane of its own. */
async function insert(runs: Runs, { jobId, event, webhook, ...told }: News): Promise<void> {
  const { contentType, body, url, fault } = told;
  const tried =
    fault === null
      ? []
      : [{ at: new Date().toISOString(), status: null, duration_ms: 0, response: null, error: fault }];
  await runs.unsafe(
    `INSERT INTO deliveries (id, job_id, event, url, sealed, content_type, body, state, next_at, attempts, lane)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $8 = 'pending' THEN now() END, $9::text::json, $10)`,
    [
      `msg_${Bun.randomUUIDv7().replaceAll("-", "")}`,
      jobId,
      event,
      url ?? webhook.url,
      webhook.sealed ?? null,
      contentType,
      body,
      fault === null ? "pending" : "failed",
      JSON.stringify(tried),
      webhook.events.length > 1 ? `job:${jobId}` : null,
    ],
  );
}

/** A receiver that cannot be told must not keep its job from ending: the delivery is written as failed, with the reason. */
function rendered(engine: Engine, kind: string, event: "started" | "completed" | "output", job: JobView): Rendered[] {
  try {
    const render = engine.renders[kind];
    if (render === undefined) throw new Error(`This node knows no webhooks of kind ${kind}`);
    // Postgres keeps no NUL in text.
    return [render(event, job)]
      .flat()
      .map((told) => ({ ...told, body: told.body.replaceAll("\u0000", "\ufffd"), fault: null }));
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    return [{ contentType: "text/plain", body: "", fault: `The body could not be written: ${reason}` }];
  }
}

import type { Runs } from "../db/client.ts";
import type { Engine } from "./context.ts";
import { type JobView, readJob } from "./read.ts";
import type { WebhookSpec } from "./submission.ts";

/** Turns a job into the body its receiver is sent. One a webhook `kind`; a surface's own words. Pure. */
export type Render = (event: "started" | "completed" | "output", job: JobView) => { contentType: string; body: string };

/** Writes the delivery of a job's end in the transaction that ends it. */
export async function deliveryOnEnd(engine: Engine, tx: Runs, jobId: string, webhookJson: string): Promise<void> {
  await writeDelivery(engine, tx, jobId, JSON.parse(webhookJson), "completed");
}

/** Writes the delivery of a job's start in the transaction that claims it. */
export async function deliveryOnStart(engine: Engine, tx: Runs, jobId: string, webhookJson: string): Promise<void> {
  await writeDelivery(engine, tx, jobId, JSON.parse(webhookJson), "started");
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
  const { contentType, body, fault } = rendered(engine, webhook.kind, event, job);
  const tried =
    fault === null
      ? []
      : [{ at: new Date().toISOString(), status: null, duration_ms: 0, response: null, error: fault }];
  await tx.unsafe(
    `INSERT INTO deliveries (id, job_id, event, url, sealed, content_type, body, state, next_at, attempts)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $8 = 'pending' THEN now() END, $9::text::json)`,
    [
      `msg_${Bun.randomUUIDv7().replaceAll("-", "")}`,
      jobId,
      event,
      webhook.url,
      webhook.sealed ?? null,
      contentType,
      body,
      fault === null ? "pending" : "failed",
      JSON.stringify(tried),
    ],
  );
}

/** A receiver that cannot be told must not keep its job from ending: the delivery is written as failed, with the reason. */
function rendered(engine: Engine, kind: string, event: "started" | "completed", job: JobView) {
  try {
    const render = engine.renders[kind];
    if (render === undefined) throw new Error(`This node knows no webhooks of kind ${kind}`);
    const { contentType, body } = render(event, job);
    // Postgres keeps no NUL in text.
    return { contentType, body: body.replaceAll("\u0000", "\ufffd"), fault: null };
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    return { contentType: "text/plain", body: "", fault: `The body could not be written: ${reason}` };
  }
}

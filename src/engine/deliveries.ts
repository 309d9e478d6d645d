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
  const render = engine.renders[webhook.kind];
  if (job === null || render === undefined)
    throw new Error(`no way to tell a ${webhook.kind} receiver about job ${jobId}`);
  const { contentType, body } = render(event, job);
  await tx.unsafe(
    `INSERT INTO deliveries (id, job_id, event, url, sealed, content_type, body, state, next_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', now())`,
    [
      `msg_${Bun.randomUUIDv7().replaceAll("-", "")}`,
      jobId,
      event,
      webhook.url,
      webhook.sealed ?? null,
      contentType,
      body,
    ],
  );
}

import { EngineError } from "../errors.ts";
import type { Runs } from "../db/client.ts";
import { freeKey, lockKeyOf } from "./concurrency.ts";
import type { Engine } from "./context.ts";
import { deliveryOnEnd } from "./deliveries.ts";
import { addEvents } from "./events.ts";
import { completedEvent, statusEvent } from "./history.ts";
import { announce, announceAlways, announceQueued } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { afterPut } from "./settle.ts";
import { isFinal, type Status } from "./status.ts";

/** `cancelled` at once while it waited; `stopping` while it runs: the node that runs it has been told; `final` when it had ended. */
export type Cancelled = "cancelled" | "stopping" | "final";

const error = { code: "cancelled", message: "Cancelled" } as const;

/** Throws `not_found`. A queued task never starts; a running one is stopped with everything that it started. */
export async function cancel(engine: Engine, jobId: string): Promise<Cancelled> {
  const done = await engine.db.hot.begin((tx) => cancelIn(engine, tx, jobId));
  if (done.kind !== "cancelled") {
    if (done.kind === "stopping") engine.onStop(jobId);
    return done.kind;
  }
  for (const message of done.messages) afterPut(engine, message);
  engine.onDelivery();
  const ending = { kind: "final", outcome: "cancelled", status: "cancelled", outputJson: null, error } as const;
  tellSubscribers(engine, jobId, done.lastSeq, done.events, ending);
  return "cancelled";
}

async function cancelIn(engine: Engine, tx: Runs, jobId: string) {
  await lockKeyOf(tx, jobId);
  // Tasks before the job, the order in which everything else locks them.
  const tasks = await tx.unsafe<{ index: number; status: Status }[]>(
    "SELECT index, status FROM tasks WHERE job_id = $1 ORDER BY index FOR UPDATE",
    [jobId],
  );
  const [job] = await tx.unsafe<
    { status: Status; webhook: string | null; concurrency_key: string | null; concurrency_max: number | null }[]
  >("SELECT status, webhook::text, concurrency_key, concurrency_max FROM jobs WHERE id = $1 FOR UPDATE", [jobId]);
  if (job === undefined) throw new EngineError("not_found", `There is no job ${jobId}`);
  if (isFinal(job.status)) return { kind: "final" } as const;
  if (tasks.some((task) => task.status === "running")) {
    await tx.unsafe("UPDATE tasks SET stop_reason = 'cancelled' WHERE job_id = $1 AND status = 'running'", [jobId]);
    await announceAlways(tx, [{ kind: "stop", jobId }]);
    return { kind: "stopping" } as const;
  }
  await tx.unsafe(
    `UPDATE tasks SET status = 'cancelled', finished_at = now(), parked = false, error = $2::text::json
     WHERE job_id = $1 AND status = 'queued'`,
    [jobId, JSON.stringify(error)],
  );
  await tx.unsafe("UPDATE jobs SET status = 'cancelled', held = false, finished_at = now() WHERE id = $1", [jobId]);
  const task = tasks.find((entry) => entry.status === "queued")?.index ?? 0;
  const events = [statusEvent(task, "cancelled"), completedEvent(task, "cancelled", error)];
  const lastSeq = await addEvents(tx, jobId, null, events);
  if (job.webhook !== null) await deliveryOnEnd(engine, tx, jobId, job.webhook);
  const messages = job.concurrency_key === null ? [] : await freeKey(tx, job.concurrency_key, job.concurrency_max ?? 1);
  await engine.queue.put(tx, messages);
  await announceQueued(engine, tx, messages);
  await announce(engine, tx, [{ kind: "job", jobId }]);
  return { kind: "cancelled", events, lastSeq, messages } as const;
}

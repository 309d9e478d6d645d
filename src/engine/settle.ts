import type { Runs } from "../db/client.ts";
import type { Put } from "../queue/boss.ts";
import type { RunFacts } from "../runners/contract.ts";
import type { Claimed } from "./claimed.ts";
import { freeKey, lockKeyOf } from "./concurrency.ts";
import type { Engine } from "./context.ts";
import { deliveryOnEnd } from "./deliveries.ts";
import type { Ending } from "./ending.ts";
import { addEvents } from "./events.ts";
import { factsJson } from "./facts.ts";
import { endingEvents, statusEvent, type TimedEvent } from "./history.ts";
import { findLinks, type JobFacts, type Next, queueNext } from "./next-turn.ts";
import { announce, announceQueued } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { countEnd } from "./tally.ts";

/**
 * Ends one run in a transaction of its own: for chains, retries, webhooks and concurrency keys. Outcome, result,
 * history, the next task's message and the webhook's delivery are committed together, or not at all.
 */
export async function settleTask(
  engine: Engine,
  task: Claimed,
  ending: Ending,
  facts: RunFacts | null,
  last: TimedEvent[] = [],
): Promise<"recorded" | "again" | "stale"> {
  const reserved: string[] = [];
  const done = await engine.db.hot
    .begin((tx) => settleIn(engine, tx, task, ending, { facts, last, reserved }))
    .catch((fault: unknown) => {
      for (const runner of reserved) engine.lane?.release(runner);
      throw fault;
    });
  if (done === null) {
    // It may be this node's own earlier try, whose answer was lost.
    engine.hub.poke(task.jobId);
    return "stale";
  }
  countEnd(engine.tally, task.runner, ending.outcome, facts?.wallMs ?? null);
  if (done.next.start !== null) engine.lane?.run(done.next.start);
  for (const message of done.messages) afterPut(engine, message);
  if (done.tells) engine.onDelivery();
  tellSubscribers(engine, task.jobId, done.lastSeq, done.events, done.end);
  return done.ending.kind === "again" ? "again" : "recorded";
}

type Report = { facts: RunFacts | null; last: TimedEvent[]; reserved: string[] };
type End = Ending & { kind: "final" };

async function settleIn(engine: Engine, tx: Runs, task: Claimed, asked: Ending, report: Report) {
  // Sent as one: each would wait for the one before, and a chain does this for every link.
  const [, ended, job, links] = await Promise.all([
    lockKeyOf(tx, task.jobId),
    endRun(tx, task, asked, report.facts),
    lockJob(tx, task.jobId),
    findLinks(tx, task, asked),
  ]);
  if (ended === null) return null;
  if (job === null) throw new Error(`job ${task.jobId} has a task that runs and no row`);
  const { ending, events } = await verdict(tx, task, asked, ended.stopReason);
  const end = endOfJob(task, ending);
  const next =
    end === null
      ? await queueNext(engine, tx, task, { ending, job, links, need: ended.need }, report.reserved)
      : nothing;
  if (end !== null) await endJob(tx, task, end);
  else if (ending.kind === "again") await tx.unsafe("UPDATE jobs SET status = 'queued' WHERE id = $1", [task.jobId]);
  events.unshift(...report.last);
  events.push(...endingEvents(task.index, ending, end !== null));
  if (next.start !== null) events.push(statusEvent(next.start.index, "running", { attempt: 1 }));
  const lastSeq = await addEvents(tx, task.jobId, task.runId, events);
  const tells = end !== null && job.webhook !== null;
  if (tells) await deliveryOnEnd(engine, tx, task.jobId, job.webhook ?? "");
  const isFree = job.concurrency_key !== null && (end !== null || ending.kind === "again");
  const freed = isFree ? await freeKey(tx, job.concurrency_key ?? "", job.concurrency_max ?? 1) : [];
  const messages = [...(next.message ? [next.message] : []), ...freed];
  await engine.queue.put(tx, messages);
  await announceQueued(engine, tx, messages);
  await announce(engine, tx, [{ kind: "job", jobId: task.jobId }]);
  return { next, messages, events, lastSeq, ending, end, tells };
}

const nothing: Next = { message: null, start: null };

async function lockJob(tx: Runs, jobId: string): Promise<JobFacts | null> {
  const [job] = await tx.unsafe<JobFacts[]>(
    "SELECT priority, webhook::text, concurrency_key, concurrency_max FROM jobs WHERE id = $1 FOR UPDATE",
    [jobId],
    { prepare: true },
  );
  return job ?? null;
}

/** What the run's end means, and the events that come before it: a link that was cancelled too late still has a result. */
async function verdict(
  tx: Runs,
  task: Claimed,
  asked: Ending,
  stopReason: string | null,
): Promise<{ ending: Ending; events: TimedEvent[] }> {
  if (stopReason === null) return { ending: asked, events: [] };
  await tx.unsafe("UPDATE tasks SET stop_reason = NULL WHERE job_id = $1 AND index = $2", [task.jobId, task.index]);
  const goesOn = endOfJob(task, asked) === null;
  if (stopReason !== "cancelled" || !goesOn) return { ending: asked, events: [] };
  // Whoever asked for the end was told that it comes: there is no other turn, and no next link.
  if (asked.kind === "final") return { ending: cancelled, events: endingEvents(task.index, asked, false) };
  await cancelTask(tx, task);
  return { ending: cancelled, events: [] };
}

function endOfJob(task: Claimed, ending: Ending): End | null {
  if (ending.kind === "again") return null;
  return task.index === task.taskCount - 1 || ending.status !== "succeeded" ? ending : null;
}

const cancelled: End = {
  kind: "final",
  outcome: "cancelled",
  status: "cancelled",
  outputJson: null,
  error: { code: "cancelled", message: "Cancelled" },
};

/** A task that `endRun` has put back, though somebody had asked for its end. */
async function cancelTask(tx: Runs, task: Claimed): Promise<void> {
  await tx.unsafe(
    `UPDATE tasks SET status = 'cancelled', finished_at = now(), not_before = NULL, error = $3::text::json
     WHERE job_id = $1 AND index = $2`,
    [task.jobId, task.index, JSON.stringify(cancelled.error)],
  );
}

/** The fence: only the run that owns the task may end it. */
async function endRun(
  tx: Runs,
  task: Claimed,
  ending: Ending,
  facts: RunFacts | null,
): Promise<{ stopReason: string | null; need: string | null } | null> {
  const again = ending.kind === "again";
  const uncharged = again && !ending.charged;
  const [row] = await tx.unsafe<{ stopReason: string | null; need: string | null }[]>(
    `WITH done AS (
       UPDATE tasks SET status = $4, output = $5::text::json, error = $6::text::json,
         finished_at = CASE WHEN $7 THEN NULL ELSE now() END, run_id = NULL,
         turn = turn + CASE WHEN $7 THEN 1 ELSE 0 END, attempt = attempt - CASE WHEN $8 THEN 1 ELSE 0 END,
         lost_runs = lost_runs + CASE WHEN $9 = 'lost' THEN 1 ELSE 0 END,
         queued_at = CASE WHEN $7 THEN now() ELSE queued_at END,
         not_before = CASE WHEN $7 AND $10::float8 > 0 THEN now() + make_interval(secs => $10::float8) END
       WHERE job_id = $1 AND index = $2 AND run_id = $3::uuid AND status = 'running'
       RETURNING turn - CASE WHEN $7 THEN 1 ELSE 0 END AS turn, attempt + CASE WHEN $8 THEN 1 ELSE 0 END AS attempt, node_id, started_at, stop_reason, need
     ), ran AS (
     INSERT INTO runs (run_id, job_id, task_index, turn, attempt, node_id, outcome, error, facts, queued_at, started_at, finished_at)
     SELECT $3::uuid, $1, $2, turn, attempt, coalesce(node_id, 'elsewhere'), $9, $6::text::json, $11::text::json, to_timestamp($12::float8 / 1000), started_at, now() FROM done
     )
     SELECT stop_reason AS "stopReason", need FROM done`,
    [
      task.jobId,
      task.index,
      task.runId,
      again ? "queued" : ending.status,
      again ? null : ending.outputJson,
      ending.error === null ? null : JSON.stringify(ending.error),
      again,
      uncharged,
      ending.outcome,
      again ? ending.delayS : 0,
      facts === null ? null : factsJson(task, facts),
      task.queuedAtMs,
    ],
    { prepare: true },
  );
  return row ?? null;
}

async function endJob(tx: Runs, task: Claimed, ending: End): Promise<void> {
  await tx.unsafe("UPDATE jobs SET status = $2, finished_at = now() WHERE id = $1", [task.jobId, ending.status]);
  if (task.index < task.taskCount - 1) {
    await tx.unsafe(
      "UPDATE tasks SET status = 'cancelled', finished_at = now() WHERE job_id = $1 AND index > $2 AND status = 'queued'",
      [task.jobId, task.index],
    );
  }
}

/** What this node does once a message it put is committed. */
export function afterPut(engine: Engine, message: Put): void {
  engine.view.waiting++;
  if (message.startAt == null) engine.lane?.wake(message.queue);
}

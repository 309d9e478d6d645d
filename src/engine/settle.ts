import type { Runs } from "../db/client.ts";
import type { Put } from "../queue/boss.ts";
import type { RunFacts } from "../runners/contract.ts";
import type { Claimed } from "./claimed.ts";
import { freeKey } from "./concurrency.ts";
import type { Engine } from "./context.ts";
import { deliveryOnEnd } from "./deliveries.ts";
import type { Ending } from "./ending.ts";
import { addEvents } from "./events.ts";
import { factsJson } from "./facts.ts";
import { endingEvents, statusEvent, type TimedEvent } from "./history.ts";
import { announce, announceQueued, type News } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";

type JobFacts = {
  priority: number;
  webhook: string | null;
  concurrency_key: string | null;
  concurrency_max: number | null;
};

type Next = { message: Put | null; start: Claimed | null };

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
  try {
    const done = await engine.db.hot.begin((tx) => settleIn(engine, tx, task, ending, { facts, last, reserved }));
    if (done === null) {
      // It may be this node's own earlier try, whose answer was lost.
      engine.hub.poke(task.jobId);
      return "stale";
    }
    if (done.next.start !== null) engine.lane?.run(done.next.start);
    for (const message of done.messages) afterPut(engine, message);
    if (done.jobEnds) engine.onDelivery();
    tellSubscribers(
      engine,
      task.jobId,
      done.lastSeq,
      done.events,
      new Date().toISOString(),
      done.jobEnds && ending.kind === "final" ? ending : null,
    );
    return ending.kind === "again" ? "again" : "recorded";
  } catch (fault) {
    for (const runner of reserved) engine.lane?.release(runner);
    throw fault;
  }
}

async function settleIn(
  engine: Engine,
  tx: Runs,
  task: Claimed,
  ending: Ending,
  { facts, last, reserved }: { facts: RunFacts | null; last: TimedEvent[]; reserved: string[] },
) {
  if (!(await endRun(tx, task, ending, facts))) return null;
  const [job] = await tx.unsafe<JobFacts[]>(
    "SELECT priority, webhook::text, concurrency_key, concurrency_max FROM jobs WHERE id = $1 FOR UPDATE",
    [task.jobId],
  );
  if (job === undefined) return null;
  const isLast = task.index === task.taskCount - 1;
  const jobEnds = ending.kind === "final" && (isLast || ending.status !== "succeeded");
  const next = jobEnds ? { message: null, start: null } : await queueNext(engine, tx, task, ending, job, reserved);
  if (jobEnds) await endJob(tx, task, ending);
  else if (ending.kind === "again") await tx.unsafe("UPDATE jobs SET status = 'queued' WHERE id = $1", [task.jobId]);
  const events: TimedEvent[] = [...last, ...endingEvents(task.index, ending, jobEnds)];
  if (next.start !== null) events.push(statusEvent(next.start.index, "running", { attempt: 1 }));
  const lastSeq = await addEvents(tx, task.jobId, task.runId, events);
  if (jobEnds && job.webhook !== null) await deliveryOnEnd(engine, tx, task.jobId, job.webhook);
  const freed =
    (jobEnds || ending.kind === "again") && job.concurrency_key !== null
      ? await freeKey(tx, job.concurrency_key, job.concurrency_max ?? 1)
      : [];
  const messages = [...(next.message ? [next.message] : []), ...freed];
  await engine.queue.put(tx, messages);
  await announceQueued(engine, tx, messages);
  const news: News[] = [{ kind: "job", jobId: task.jobId }];
  await announce(engine, tx, news);
  return { next, messages, events, lastSeq, jobEnds };
}

/** The fence: only the run that owns the task may end it. */
async function endRun(tx: Runs, task: Claimed, ending: Ending, facts: RunFacts | null): Promise<boolean> {
  const again = ending.kind === "again";
  const uncharged = again && !ending.charged;
  const rows = await tx.unsafe(
    `WITH done AS (
       UPDATE tasks SET status = $4, output = $5::text::json, error = $6::text::json,
         finished_at = CASE WHEN $7 THEN NULL ELSE now() END, run_id = NULL, stop_reason = NULL,
         turn = turn + CASE WHEN $7 THEN 1 ELSE 0 END, attempt = attempt - CASE WHEN $8 THEN 1 ELSE 0 END,
         lost_runs = lost_runs + CASE WHEN $9 = 'lost' THEN 1 ELSE 0 END,
         queued_at = CASE WHEN $7 THEN now() ELSE queued_at END,
         not_before = CASE WHEN $7 AND $10::float8 > 0 THEN now() + make_interval(secs => $10::float8) END
       WHERE job_id = $1 AND index = $2 AND run_id = $3::uuid AND status = 'running'
       RETURNING turn - CASE WHEN $7 THEN 1 ELSE 0 END AS turn, attempt + CASE WHEN $8 THEN 1 ELSE 0 END AS attempt, node_id, started_at
     )
     INSERT INTO runs (run_id, job_id, task_index, turn, attempt, node_id, outcome, error, facts, queued_at, started_at, finished_at)
     SELECT $3::uuid, $1, $2, turn, attempt, node_id, $9, $6::text::json, $11::text::json, to_timestamp($12::float8 / 1000), started_at, now() FROM done
     RETURNING run_id`,
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
  return rows.length === 1;
}

async function queueNext(
  engine: Engine,
  tx: Runs,
  task: Claimed,
  ending: Ending,
  job: JobFacts,
  reserved: string[],
): Promise<Next> {
  if (ending.kind === "again") {
    const startAt = ending.delayS > 0 ? new Date(Date.now() + ending.delayS * 1000) : null;
    return { message: messageOf(task, task.index, task.turn + 1, task.runner, job, startAt), start: null };
  }
  return nextLink(engine, tx, task, ending, job, reserved);
}

type Link = {
  runner: Claimed["runner"];
  target: string;
  turn: number;
  timeout_ms: number;
  max_attempts: number;
  backoff_s: number;
  options: string | null;
  limits: string | null;
  input: string | null;
  requires: string | null;
};

/** Starts the next link here when a slot is free, else puts it in the queue. */
async function nextLink(
  engine: Engine,
  tx: Runs,
  task: Claimed,
  ending: Ending & { kind: "final" },
  job: JobFacts,
  reserved: string[],
): Promise<Next> {
  const index = task.index + 1;
  const [link] = await tx.unsafe<Link[]>(
    `UPDATE tasks SET queued_at = now() WHERE job_id = $1 AND index = $2 AND status = 'queued'
     RETURNING runner, target, turn, timeout_ms, max_attempts, backoff_s, options::text, limits::text, input::text, requires::text`,
    [task.jobId, index],
  );
  if (link === undefined) throw new Error(`job ${task.jobId} has no queued task ${index} to go on with`);
  const startsHere = link.requires === null && engine.lane?.reserve(link.runner, link.target, job.priority) === true;
  if (!startsHere) return { message: messageOf(task, index, link.turn, link.runner, job, null), start: null };
  reserved.push(link.runner);
  const start = linkClaimed(task, index, link, ending.outputJson);
  await tx.unsafe(
    "UPDATE tasks SET status = 'running', started_at = now(), attempt = 1, run_id = $3::uuid, node_id = $4 WHERE job_id = $1 AND index = $2",
    [task.jobId, index, start.runId, engine.nodeId],
  );
  return { message: null, start };
}

function linkClaimed(task: Claimed, index: number, link: Link, previousOutput: string | null): Claimed {
  const now = Date.now();
  return {
    ...task,
    index,
    runner: link.runner,
    target: link.target,
    turn: link.turn,
    runId: crypto.randomUUID(),
    attempt: 1,
    maxAttempts: link.max_attempts,
    backoffS: link.backoff_s,
    lostRuns: 0,
    timeoutMs: link.timeout_ms,
    inputJson: link.input ?? previousOutput ?? "null",
    optionsJson: link.options,
    limitsJson: link.limits,
    queuedAtMs: now,
    startedAtMs: now,
  };
}

async function endJob(tx: Runs, task: Claimed, ending: Ending & { kind: "final" }): Promise<void> {
  await tx.unsafe("UPDATE jobs SET status = $2, finished_at = now() WHERE id = $1", [task.jobId, ending.status]);
  if (task.index < task.taskCount - 1) {
    await tx.unsafe(
      "UPDATE tasks SET status = 'cancelled', finished_at = now() WHERE job_id = $1 AND index > $2 AND status = 'queued'",
      [task.jobId, task.index],
    );
  }
}

function messageOf(
  task: Claimed,
  index: number,
  turn: number,
  runner: string,
  job: JobFacts,
  startAt: Date | null,
): Put {
  const keyed = job.concurrency_key !== null && index === task.index;
  return {
    queue: runner,
    jobId: task.jobId,
    task: index,
    turn,
    priority: job.priority,
    startAt,
    ...(keyed ? { concurrency: { key: job.concurrency_key ?? "", max: job.concurrency_max ?? 1 } } : {}),
  };
}

/** What this node does once a message it put is committed. */
export function afterPut(engine: Engine, message: Put): void {
  engine.view.waiting++;
  if (message.startAt == null) engine.lane?.wake(message.queue);
}

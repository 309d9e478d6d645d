import type { Runs } from "../db/client.ts";
import type { Put } from "../queue/boss.ts";
import type { Claimed } from "./claimed.ts";
import { databaseNowMs } from "./clock.ts";
import type { Engine } from "./context.ts";
import type { Ending } from "./ending.ts";
import { knownTarget, type Requires } from "./needs.ts";

/** What a job's next turn needs of its row. */
export type JobFacts = {
  priority: number;
  webhook: string | null;
  concurrency_key: string | null;
  concurrency_max: number | null;
};

/** The next turn of a job: a message in the queue, or a task that starts on this node. Neither when the job has ended. */
export type Next = { message: Put | null; start: Claimed | null };

/**
 * Prepares what follows on a run that does not end its job, in the transaction that ends the run. The runners whose
 * slots were taken are added to `reserved`: they are to be given back when the transaction fails.
 */
export async function queueNext(
  engine: Engine,
  tx: Runs,
  task: Claimed,
  { ending, job, link, need }: { ending: Ending; job: JobFacts; link: Link | null; need: string | null },
  reserved: string[],
): Promise<Next> {
  if (ending.kind === "again") {
    const startAt = ending.delayS > 0 ? new Date(databaseNowMs(engine) + ending.delayS * 1000) : null;
    return { message: messageOf(task, task.index, task.turn + 1, need ?? task.runner, job, startAt), start: null };
  }
  if (link === null) throw new Error(`job ${task.jobId} has no queued task ${task.index + 1} to go on with`);
  if (!startsHere(engine, task, link)) return queueLink(tx, task, link, job);
  reserved.push(link.runner);
  return startLink(engine, tx, linkClaimed(task, link, ending.outputJson));
}

function startsHere(engine: Engine, task: Claimed, link: Link): boolean {
  const options = link.options === null ? null : (JSON.parse(link.options) as { automation?: unknown });
  const requires = link.requires === null ? null : (JSON.parse(link.requires) as Requires);
  const target = knownTarget(link.runner, link.target, options);
  return engine.lane?.reserve(link.runner, target, { requires, inPlaceOf: task.runId }) === true;
}

/** The link after `task`, if that is what its run's end leads to. Its row is safe from others once the task's is locked. */
export async function findLink(tx: Runs, task: Claimed, ending: Ending): Promise<Link | null> {
  if (ending.kind === "again" || ending.status !== "succeeded" || task.index === task.taskCount - 1) return null;
  const [link] = await tx.unsafe<Link[]>(
    `SELECT runner, target, turn, timeout_ms, max_attempts, backoff_s, options::text, limits::text, input::text, requires::text, need
     FROM tasks WHERE job_id = $1 AND index = $2 AND status = 'queued'`,
    [task.jobId, task.index + 1],
    { prepare: true },
  );
  return link ?? null;
}

/** A link of a chain as it waits for the one before it. */
export type Link = {
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
  need: string | null;
};

async function queueLink(tx: Runs, task: Claimed, link: Link, job: JobFacts): Promise<Next> {
  const index = task.index + 1;
  await tx.unsafe("UPDATE tasks SET queued_at = now() WHERE job_id = $1 AND index = $2", [task.jobId, index], {
    prepare: true,
  });
  return { message: messageOf(task, index, link.turn, link.need ?? link.runner, job, null), start: null };
}

async function startLink(engine: Engine, tx: Runs, start: Claimed): Promise<Next> {
  await tx.unsafe(
    `UPDATE tasks SET status = 'running', queued_at = now(), started_at = now(), attempt = 1, run_id = $3::uuid, node_id = $4,
       stop_reason = NULL
     WHERE job_id = $1 AND index = $2`,
    [start.jobId, start.index, start.runId, engine.nodeId],
    { prepare: true },
  );
  return { message: null, start };
}

function linkClaimed(task: Claimed, link: Link, previousOutput: string | null): Claimed {
  const now = Date.now();
  return {
    ...task,
    index: task.index + 1,
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

function messageOf(
  task: Claimed,
  index: number,
  turn: number,
  queue: string,
  job: JobFacts,
  startAt: Date | null,
): Put {
  const keyed = job.concurrency_key !== null && index === task.index;
  return {
    queue,
    jobId: task.jobId,
    task: index,
    turn,
    priority: job.priority,
    startAt,
    ...(keyed ? { concurrency: { key: job.concurrency_key ?? "", max: job.concurrency_max ?? 1 } } : {}),
  };
}

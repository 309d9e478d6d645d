import type { Runs } from "../db/client.ts";
import type { Put } from "../queue/boss.ts";
import type { Ahead, Claimed, Link } from "./claimed.ts";
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
  { ending, job, links, need }: { ending: Ending; job: JobFacts; links: Links; need: string | null },
  reserved: string[],
): Promise<Next> {
  if (ending.kind === "again") {
    const startAt = ending.delayS > 0 ? new Date(databaseNowMs(engine) + ending.delayS * 1000) : null;
    return { message: messageOf(task, task.index, task.turn + 1, need ?? task.runner, job, startAt), start: null };
  }
  const { link, following } = links;
  if (link === null) throw new Error(`job ${task.jobId} has no queued task ${task.index + 1} to go on with`);
  if (!startsHere(engine, task, link)) return queueLink(tx, task, link, job);
  reserved.push(link.runner);
  const isQuiet = job.webhook === null && job.concurrency_key === null;
  const ahead = following === null ? null : { link: following, isQuiet };
  return startLink(engine, tx, linkClaimed(task, link, { previousJson: ending.outputJson, ahead, isQuiet }));
}

/** Whether this node takes the link on at once; it then has a slot for it, the one of `task` if that still has it. */
export function startsHere(engine: Engine, task: Claimed, link: Link): boolean {
  const requires = link.requires === null ? null : (JSON.parse(link.requires) as Requires);
  const target = knownTarget(link.runner, link.target, link.options);
  return engine.lane?.reserve(link.runner, target, { requires, inPlaceOf: task.runId }) === true;
}

/**
 * The link after `task`, if that is what its run's end leads to, and the one after that. Its row is safe from others once the
 * task's is locked.
 */
export async function findLinks(tx: Runs, task: Claimed, ending: Ending): Promise<Links> {
  if (ending.kind === "again" || ending.status !== "succeeded" || task.index === task.taskCount - 1) return noLinks;
  const rows = await tx.unsafe<(Link & { index: number; status: string })[]>(
    `SELECT index, status, ${linkColumns} FROM tasks WHERE job_id = $1 AND index BETWEEN $2 AND $3 ORDER BY index`,
    [task.jobId, task.index + 1, task.index + 2],
    { prepare: true },
  );
  const waiting = rows.filter(({ status }) => status === "queued");
  const at = (index: number) => waiting.find((row) => row.index === index) ?? null;
  return { link: at(task.index + 1), following: at(task.index + 2) };
}

export type Links = { link: Link | null; following: Link | null };

const noLinks: Links = { link: null, following: null };

/** What a `Link` is read from. */
export const linkColumns =
  "runner, target, turn, timeout_ms, max_attempts, backoff_s, options::text, limits::text, input::text, requires::text, need";

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

/** The run of `link` that follows on `task`, with a run id of its own. */
export function linkClaimed(
  { ahead: _, ...task }: Claimed,
  link: Link,
  { previousJson, ahead, isQuiet }: { previousJson: string | null; ahead: Ahead | null; isQuiet: boolean },
): Claimed {
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
    inputJson: link.input ?? previousJson ?? "null",
    optionsJson: link.options,
    limitsJson: link.limits,
    plain: isQuiet && task.index + 1 === task.taskCount - 1,
    ...(ahead === null ? {} : { ahead }),
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

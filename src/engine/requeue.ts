import type { Runs } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import type { Put } from "../queue/boss.ts";
import type { Engine } from "./context.ts";
import { addEvents } from "./events.ts";
import { type Need, needQueue, type Requires } from "./needs.ts";
import { type NewEvent, statusEvent } from "./history.ts";
import { announce, announceQueued } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { afterPut } from "./settle.ts";
import { isFinal, type Status } from "./status.ts";

type Row = {
  status: Status;
  held: boolean;
  priority: number;
  runner: string;
  turn: number;
  task_count: number;
  concurrency_key: string | null;
  concurrency_max: number | null;
};

/** Queues a job that was submitted on hold. Throws `not_found`, `not_held`. */
export async function release(engine: Engine, jobId: string): Promise<void> {
  await requeue(engine, jobId, async (tx, job) => {
    if (!job.held || isFinal(job.status))
      throw new EngineError("not_held", `Job ${jobId} is not held: it is ${job.status}`);
    await tx.unsafe("UPDATE jobs SET held = false, queued_at = now() WHERE id = $1", [jobId]);
    await tx.unsafe("UPDATE tasks SET queued_at = now() WHERE job_id = $1 AND index = 0", [jobId]);
    await restartDeadline(tx, jobId);
    return { task: 0, event: statusEvent(0, "queued", { reason: "released" }) };
  });
}

/**
 * A new turn of a final job, from its first task or from `fromTask`; earlier outputs stay. `inputJson` replaces the
 * input of the task it starts from. Throws `not_found`, `not_final`, `invalid`.
 */
export async function retry(
  engine: Engine,
  jobId: string,
  options: { fromTask?: number; inputJson?: string } = {},
): Promise<void> {
  const from = options.fromTask ?? 0;
  await ensureNeeds(engine, jobId);
  await requeue(engine, jobId, async (tx, job) => {
    if (!isFinal(job.status))
      throw new EngineError("not_final", `Job ${jobId} is ${job.status}: only a final job can be retried`);
    if (from < 0 || from >= job.task_count) {
      throw new EngineError("invalid", `Job ${jobId} has no task ${from}`, {
        problems: [{ pointer: "/from_task", detail: `must be 0 to ${job.task_count - 1}` }],
      });
    }
    await assertReached(tx, jobId, from);
    await tx.unsafe(
      `UPDATE tasks SET status = 'queued', turn = turn + 1, attempt = 0, lost_runs = 0, output = NULL, error = NULL, started_at = NULL,
         finished_at = NULL, not_before = NULL, parked = false, run_id = NULL, queued_at = CASE WHEN index = $2 THEN now() END,
         input = CASE WHEN index = $2 THEN coalesce($3::text::json, input) END
       WHERE job_id = $1 AND index >= $2`,
      [jobId, from, options.inputJson ?? null],
    );
    await tx.unsafe("UPDATE jobs SET status = 'queued', finished_at = NULL, queued_at = now() WHERE id = $1", [jobId]);
    await restartDeadline(tx, jobId);
    return { task: from, event: statusEvent(from, "queued", { reason: "retry" }) };
  });
}

/** The needs of a job that had ended may have been forgotten. */
async function ensureNeeds(engine: Engine, jobId: string): Promise<void> {
  const rows = await engine.db.sql<
    (Omit<Need, "requires"> & { target: string; need: string; requires: string | null })[]
  >`
    SELECT runner, target, need, requires::text FROM tasks WHERE job_id = ${jobId} AND need IS NOT NULL`;
  const needs = rows.flatMap(({ runner, target, need, requires }): Need[] => {
    const asked = requires === null ? null : (JSON.parse(requires) as Requires);
    const ways = ["", target, null].map((known) => ({ runner, target: known, requires: asked }));
    return ways.filter((way) => needQueue(way) === need);
  });
  if (needs.length > 0) await engine.needs.ensure(needs);
}

/** A chain that begins now has all of its time, whenever it was submitted. */
async function restartDeadline(tx: Runs, jobId: string): Promise<void> {
  await tx.unsafe(
    `UPDATE tasks SET options = (options::jsonb || jsonb_build_object('deadlineMs',
       floor(extract(epoch FROM now()) * 1000)::bigint + (options->>'chainMs')::bigint))::json
     WHERE job_id = $1 AND options->>'chainMs' IS NOT NULL`,
    [jobId],
  );
}

async function assertReached(tx: Runs, jobId: string, from: number): Promise<void> {
  const [before] = await tx.unsafe<{ missing: number }[]>(
    "SELECT index AS missing FROM tasks WHERE job_id = $1 AND index < $2 AND status <> 'succeeded' LIMIT 1",
    [jobId, from],
  );
  if (before === undefined) return;
  throw new EngineError(
    "invalid",
    `Task ${before.missing} of job ${jobId} has not succeeded, so task ${from} has no input`,
    {
      problems: [{ pointer: "/from_task", detail: `must be at most ${before.missing}` }],
    },
  );
}

type Change = (tx: Runs, job: Row) => Promise<{ task: number; event: NewEvent }>;

async function requeue(engine: Engine, jobId: string, change: Change): Promise<void> {
  const { message, event, lastSeq } = await engine.db.hot.begin(async (tx) => {
    await tx.unsafe("SELECT 1 FROM tasks WHERE job_id = $1 ORDER BY index FOR UPDATE", [jobId]);
    const job = await lockJob(tx, jobId);
    const { task, event } = await change(tx, job);
    const lastSeq = await addEvents(tx, jobId, null, [event]);
    const message = await messageFor(tx, jobId, task, job);
    await engine.queue.put(tx, [message]);
    await announceQueued(engine, tx, [message]);
    await announce(engine, tx, [{ kind: "job", jobId }]);
    return { message, event, lastSeq };
  });
  afterPut(engine, message);
  tellSubscribers(engine, jobId, lastSeq, [event], null);
}

async function lockJob(tx: Runs, jobId: string): Promise<Row> {
  const [job] = await tx.unsafe<Row[]>(
    `SELECT status, held, priority, runner, concurrency_key, concurrency_max,
       (SELECT count(*)::int FROM tasks WHERE job_id = $1) AS task_count
     FROM jobs WHERE id = $1 FOR UPDATE`,
    [jobId],
  );
  if (job === undefined) throw new EngineError("not_found", `There is no job ${jobId}`);
  return job;
}

async function messageFor(tx: Runs, jobId: string, index: number, job: Row): Promise<Put> {
  const [task] = await tx.unsafe<{ queue: string; turn: number; not_before: Date | null }[]>(
    "SELECT coalesce(need, runner) AS queue, turn, not_before FROM tasks WHERE job_id = $1 AND index = $2",
    [jobId, index],
  );
  if (task === undefined) throw new Error(`job ${jobId} has no task ${index}`);
  const concurrency =
    job.concurrency_key === null ? {} : { concurrency: { key: job.concurrency_key, max: job.concurrency_max ?? 1 } };
  return {
    queue: task.queue,
    jobId,
    task: index,
    turn: task.turn,
    priority: job.priority,
    startAt: task.not_before,
    ...concurrency,
  };
}

import type { Runs } from "../db/client.ts";
import type { Message, Put } from "../queue/boss.ts";

/**
 * Of `messages` those whose job may run now under its concurrency key. The others' tasks are parked: they wait without
 * a message until a job with that key ends. Serialised per key, so that two nodes never both take the last place.
 */
export async function admit(tx: Runs, messages: Message[]): Promise<Message[]> {
  if (!messages.some((message) => message.concurrency !== undefined)) return messages;
  for (const key of new Set(messages.flatMap((message) => message.concurrency?.key ?? []).sort()))
    await lockKey(tx, key);
  const running = new Map<string, number>();
  const admitted: Message[] = [];
  for (const message of messages) {
    if (message.concurrency === undefined || (await takePlace(tx, message, running))) admitted.push(message);
  }
  return admitted;
}

async function takePlace(tx: Runs, message: Message, running: Map<string, number>): Promise<boolean> {
  const { key, max } = message.concurrency ?? { key: "", max: 1 };
  const count = running.get(key) ?? (await countRunning(tx, key));
  running.set(key, count);
  if (count >= max) {
    await park(tx, message);
    return false;
  }
  // A message of another turn takes no place: nobody would give it back.
  if (!(await isWaiting(tx, message))) return false;
  running.set(key, count + 1);
  return true;
}

async function isWaiting(tx: Runs, { jobId, task, turn }: Message): Promise<boolean> {
  const rows = await tx.unsafe(
    "SELECT 1 FROM tasks WHERE job_id = $1 AND index = $2 AND turn = $3 AND run_id IS NULL AND finished_at IS NULL",
    [jobId, task, turn],
    { prepare: true },
  );
  return rows.length === 1;
}

async function park(tx: Runs, { jobId, task, turn }: Message): Promise<void> {
  await tx.unsafe(
    "UPDATE tasks SET parked = true WHERE job_id = $1 AND index = $2 AND turn = $3 AND status = 'queued'",
    [jobId, task, turn],
    { prepare: true },
  );
}

/**
 * Takes the lock of a job's concurrency key, if it has one. Whoever changes such a job takes it before any row: a claim
 * holds it while it takes the rows of the job's tasks.
 */
export async function lockKeyOf(tx: Runs, jobId: string): Promise<void> {
  await tx.unsafe(
    `SELECT pg_advisory_xact_lock(hashtextextended('concurrency:' || concurrency_key, 0)) FROM jobs
     WHERE id = $1 AND concurrency_key IS NOT NULL`,
    [jobId],
    { prepare: true },
  );
}

/** A job with this key has left: as many parked tasks as there are places get their message. */
export async function freeKey(tx: Runs, key: string, max: number): Promise<Put[]> {
  await lockKey(tx, key);
  const free = max - (await countRunning(tx, key));
  if (free <= 0) return [];
  const rows = await tx.unsafe<
    { job_id: string; index: number; turn: number; queue: string; priority: number; max: number }[]
  >(
    `UPDATE tasks t SET parked = false FROM (
       SELECT k.job_id, k.index, j.concurrency_max AS max FROM jobs j JOIN tasks k ON k.job_id = j.id
       WHERE j.concurrency_key = $1 AND j.finished_at IS NULL AND j.status = 'queued' AND k.parked AND k.status = 'queued'
       ORDER BY j.priority, j.queued_at LIMIT $2) p
     WHERE t.job_id = p.job_id AND t.index = p.index
     RETURNING t.job_id, t.index, t.turn, coalesce(t.need, t.runner) AS queue, t.priority, p.max`,
    [key, free],
    { prepare: true },
  );
  return rows.map((row) => ({
    queue: row.queue,
    jobId: row.job_id,
    task: row.index,
    turn: row.turn,
    priority: row.priority,
    concurrency: { key, max: row.max },
  }));
}

/** Keys that have parked tasks and a free place: the floor under `freeKey`, should a node have died in between. */
export async function stuckKeys(runs: Runs): Promise<{ key: string; max: number }[]> {
  // From one key to the next in the index, however many jobs each has.
  return runs.unsafe<{ key: string; max: number }[]>(
    `WITH RECURSIVE keys(key) AS (
       (SELECT concurrency_key FROM jobs WHERE concurrency_key IS NOT NULL AND finished_at IS NULL ORDER BY 1 LIMIT 1)
       UNION ALL
       SELECT (SELECT j.concurrency_key FROM jobs j WHERE j.concurrency_key > keys.key AND j.finished_at IS NULL ORDER BY 1 LIMIT 1)
       FROM keys WHERE keys.key IS NOT NULL)
     SELECT key, parked.max FROM keys, LATERAL (
       SELECT j.concurrency_max AS max FROM jobs j JOIN tasks k ON k.job_id = j.id
       WHERE j.concurrency_key = keys.key AND j.finished_at IS NULL AND j.status = 'queued' AND k.parked AND k.status = 'queued'
       ORDER BY j.priority, j.queued_at LIMIT 1) parked
     WHERE (SELECT count(*) FROM jobs r WHERE r.concurrency_key = keys.key AND r.status = 'running' AND r.finished_at IS NULL) < parked.max
     LIMIT 100`,
    [],
    { prepare: true },
  );
}

async function lockKey(tx: Runs, key: string): Promise<void> {
  await tx.unsafe("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`concurrency:${key}`]);
}

async function countRunning(tx: Runs, key: string): Promise<number> {
  const [row] = await tx.unsafe<{ count: number }[]>(
    "SELECT count(*)::int AS count FROM jobs WHERE concurrency_key = $1 AND status = 'running' AND finished_at IS NULL",
    [key],
    { prepare: true },
  );
  return row?.count ?? 0;
}

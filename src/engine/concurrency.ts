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
  running.set(key, count + (count < max ? 1 : 0));
  if (count < max) return true;
  await tx.unsafe(
    "UPDATE tasks SET parked = true WHERE job_id = $1 AND index = $2 AND turn = $3 AND status = 'queued'",
    [message.jobId, message.task, message.turn],
  );
  return false;
}

/** A job with this key has left: as many parked tasks as there are places get their message. */
export async function freeKey(tx: Runs, key: string, max: number): Promise<Put[]> {
  await lockKey(tx, key);
  const free = max - (await countRunning(tx, key));
  if (free <= 0) return [];
  const rows = await tx.unsafe<
    { job_id: string; index: number; turn: number; runner: string; priority: number; max: number }[]
  >(
    `UPDATE tasks SET parked = false WHERE (job_id, index) IN (
       SELECT k.job_id, k.index FROM tasks k JOIN jobs j ON j.id = k.job_id
       WHERE j.concurrency_key = $1 AND j.finished_at IS NULL AND k.parked AND k.status = 'queued'
       ORDER BY k.priority, k.queued_at LIMIT $2)
     RETURNING job_id, index, turn, runner, priority, (SELECT concurrency_max FROM jobs WHERE id = job_id) AS max`,
    [key, free],
  );
  return rows.map((row) => ({
    queue: row.runner,
    jobId: row.job_id,
    task: row.index,
    turn: row.turn,
    priority: row.priority,
    concurrency: { key, max: row.max },
  }));
}

/** Keys that have parked tasks and a free place: the floor under `freeKey`, should a node have died in between. */
export async function stuckKeys(runs: Runs): Promise<{ key: string; max: number }[]> {
  return runs.unsafe<{ key: string; max: number }[]>(
    `SELECT concurrency_key AS key, max(concurrency_max) AS max FROM jobs
     WHERE concurrency_key IS NOT NULL AND finished_at IS NULL
     GROUP BY 1
     HAVING count(*) FILTER (WHERE status = 'running') < max(concurrency_max)
        AND bool_or(EXISTS (SELECT 1 FROM tasks k WHERE k.job_id = jobs.id AND k.parked AND k.status = 'queued'))
     LIMIT 100`,
  );
}

async function lockKey(tx: Runs, key: string): Promise<void> {
  await tx.unsafe("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`concurrency:${key}`]);
}

async function countRunning(tx: Runs, key: string): Promise<number> {
  const [row] = await tx.unsafe<{ count: number }[]>(
    "SELECT count(*)::int AS count FROM jobs WHERE concurrency_key = $1 AND status = 'running' AND finished_at IS NULL",
    [key],
  );
  return row?.count ?? 0;
}

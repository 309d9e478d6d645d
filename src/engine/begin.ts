import type { Runs } from "../db/client.ts";
import type { Message } from "../queue/boss.ts";
import type { Claimed } from "./claimed.ts";
import { admit } from "./concurrency.ts";
import type { Engine } from "./context.ts";
import { deliveryOnStart } from "./deliveries.ts";
import { announce, announceQueued } from "./notify.ts";
import { passOn } from "./pass-on.ts";
import { tellSubscribers } from "./publish.ts";

/** `taken` is how many messages there were, `hasMore` whether some may still wait, `isShare` that others are to have those. */
export type Claim = { claimed: Claimed[]; taken: number; hasMore: boolean; isShare: boolean };

/**
 * Claims up to `most` tasks in one transaction: messages are fetched and deleted, and the tasks whose turn they name go
 * to running under this node with a fresh run id. Stale messages vanish without a trace; what this node cannot run goes
 * on to where it can. From several queues the most urgent come first. With `nodes` that have free slots, this one
 * among them, it takes no more than its share.
 */
export async function claim(
  engine: Engine,
  queues: string | readonly string[],
  most: number,
  nodes = 1,
): Promise<Claim> {
  const { rows, passed, ...found } = await engine.db.hot
    .begin(async (tx) => {
      const { messages, ...more } = await takeFrom(engine, tx, queues, most, nodes);
      const admitted = messages.length === 0 ? [] : await admit(tx, messages);
      const all = admitted.length === 0 ? [] : await begin(engine, tx, admitted);
      const { rows: begun, passed } = await passOn(engine, tx, all, admitted);
      const told = begun.filter(({ webhook, is_first }) => webhook?.includes('"started"') && is_first);
      for (const { webhook, job_id } of told) await deliveryOnStart(engine, tx, job_id, webhook ?? "");
      if (told.length > 0) await tx.unsafe("SET LOCAL synchronous_commit TO DEFAULT");
      await announce(
        engine,
        tx,
        begun.map((row) => ({ kind: "job", jobId: row.job_id })),
      );
      if (passed.length > 0) await announceQueued(engine, tx, passed);
      return { rows: begun, taken: messages.length, ...more, passed };
    })
    .catch((fault: unknown) => {
      engine.queue.hasGivenBack(typeof queues === "string" ? [queues] : queues);
      throw fault;
    });
  engine.view.waiting = Math.max(0, engine.view.waiting - found.taken + passed.length);
  if (rows.some((row) => row.webhook !== null)) engine.onDelivery();
  for (const row of rows) {
    tellSubscribers(
      engine,
      row.job_id,
      row.last_seq,
      [{ kind: "status", task: row.index, data: startedData(row.attempt) }],
      null,
    );
  }
  return { claimed: rows.map(claimedOf), ...found };
}

async function takeFrom(engine: Engine, tx: Runs, queues: string | readonly string[], most: number, nodes: number) {
  const only = typeof queues === "string" ? queues : queues.length === 1 ? queues[0] : undefined;
  if (only === undefined || nodes > 1)
    return engine.queue.takeShare(tx, typeof queues === "string" ? [queues] : queues, most, nodes);
  const messages = await engine.queue.take(tx, only, most);
  return { messages, hasMore: messages.length === most, isShare: false };
}

type Row = {
  job_id: string;
  index: number;
  runner: Claimed["runner"];
  target: string;
  turn: number;
  run_id: string;
  attempt: number;
  max_attempts: number;
  backoff_s: number;
  lost_runs: number;
  priority: number;
  timeout_ms: number;
  input: string;
  options: string | null;
  limits: string | null;
  payload_id: number | null;
  requires: string | null;
  traceparent: string | null;
  surface: string;
  task_count: number;
  webhook: string | null;
  keyed: boolean;
  /** The job has never run before. */
  is_first: boolean;
  queued_ms: number;
  started_ms: number;
  last_seq: number;
};

/** The order of `messages` is the order of the result. */
async function begin(engine: Engine, tx: Runs, messages: Message[]): Promise<Row[]> {
  const wanted = messages.map((message, order) => ({
    j: message.jobId,
    t: message.task,
    n: message.turn,
    r: crypto.randomUUID(),
    o: order,
  }));
  return tx.unsafe<Row[]>(beginSql, [JSON.stringify(wanted), engine.nodeId], { prepare: true });
}

// Each step hands on what the next needs, and expects one row, as in finish-sql.ts. A task without run and end is a
// queued one: naming the status would invite a scan of everything that waits. `nobody` and `never` are always null.
const beginSql = `
WITH x AS (
  SELECT * FROM json_to_recordset($1::text::json) AS x(j text, t int, n int, r uuid, o int, nobody uuid, never timestamptz)
  WHERE t >= 0 AND t <= 32767
), picked AS (
  UPDATE tasks k SET status = 'running', run_id = x.r, node_id = $2, started_at = now(), attempt = attempt + 1,
    not_before = NULL, parked = false, stop_reason = NULL
  FROM x WHERE k.job_id = x.j AND k.index = x.t AND k.turn = x.n
    AND k.run_id IS NOT DISTINCT FROM x.nobody AND k.finished_at IS NOT DISTINCT FROM x.never
  RETURNING k.job_id, k.index, k.runner, k.target, k.turn, k.run_id, k.attempt, k.max_attempts, k.backoff_s, k.lost_runs, k.priority,
    k.timeout_ms, k.options, k.limits, k.requires, k.input AS own_input, k.queued_at, k.started_at AS begun_at, x.o
), job AS (
  UPDATE jobs SET status = 'running', started_at = coalesce(jobs.started_at, now()), last_seq = last_seq + 1
  FROM picked WHERE jobs.id = picked.job_id
  RETURNING picked.*, jobs.started_at = now()::timestamptz(3) AS is_first, jobs.last_seq, jobs.input AS job_input, jobs.payload_id, jobs.traceparent, jobs.surface, jobs.webhook,
    jobs.concurrency_key
), logged AS (
  INSERT INTO events (job_id, seq, count, run_id, at, lines)
  SELECT job_id, last_seq, 1, run_id, now(), ('[{"k":"status","t":' || index || ',"d":{"status":"running","attempt":' || attempt || '}}]')::json FROM job
)
SELECT job_id, index, runner, target, turn, run_id, attempt, max_attempts, backoff_s, lost_runs, priority, timeout_ms,
  options::text AS options, limits::text AS limits, requires::text AS requires,
  coalesce(own_input, CASE WHEN index = 0 THEN job_input ELSE (
    SELECT q.output FROM tasks q WHERE q.job_id = job.job_id AND q.index = job.index - 1) END, 'null'::json)::text AS input,
  payload_id, traceparent, surface, webhook::text AS webhook, concurrency_key IS NOT NULL AS keyed, is_first,
  (SELECT count(*)::int FROM tasks q WHERE q.job_id = job.job_id) AS task_count, last_seq,
  (extract(epoch FROM coalesce(queued_at, begun_at)) * 1000)::float8 AS queued_ms,
  (extract(epoch FROM begun_at) * 1000)::float8 AS started_ms
FROM job
ORDER BY o`;

export function startedData(attempt: number): string {
  return `{"status":"running","attempt":${attempt}}`;
}

function claimedOf(row: Row): Claimed {
  return {
    jobId: row.job_id,
    index: row.index,
    runner: row.runner,
    target: row.target,
    turn: row.turn,
    runId: row.run_id,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    backoffS: row.backoff_s,
    lostRuns: row.lost_runs,
    priority: row.priority,
    timeoutMs: row.timeout_ms,
    inputJson: row.input,
    optionsJson: row.options,
    limitsJson: row.limits,
    payloadId: row.payload_id,
    traceparent: row.traceparent,
    surface: row.surface,
    taskCount: row.task_count,
    plain: row.task_count === 1 && row.webhook === null && !row.keyed,
    queuedAtMs: row.queued_ms,
    startedAtMs: row.started_ms,
  };
}

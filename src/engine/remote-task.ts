import type { Runs } from "../db/client.ts";
import type { Failure } from "../runners/contract.ts";
import type { Claimed } from "./claimed.ts";
import type { Engine } from "./context.ts";
import { addEvents } from "./events.ts";
import { statusEvent } from "./history.ts";
import { announce } from "./notify.ts";
import { tellSubscribers } from "./publish.ts";
import { settleTask } from "./settle.ts";
import { type FinalStatus, isFinal, type Status } from "./status.ts";

/** `unknown` when there is no such job, or one that is not executed elsewhere. */
export type RemoteReport = "recorded" | "already" | "unknown";

/** How a task ended that was executed by another service. */
export type RemoteEnd = { status: FinalStatus; error: Failure | null };

type Row = {
  status: Status;
  run_id: string | null;
  runner: Claimed["runner"];
  target: string;
  turn: number;
  attempt: number;
  priority: number;
  output: string | null;
  started_ms: number | null;
};

/**
 * Another service has begun to execute the only task of a job whose details say `remote`. It runs on no node: nobody returns it to the
 * queue, and it ends when `endRemote` says so or when it is cancelled.
 */
export async function startRemote(engine: Engine, jobId: string): Promise<RemoteReport> {
  const begun = await engine.db.hot.begin((tx) => beginIn(engine, tx, jobId));
  if (typeof begun === "string") return begun;
  tellSubscribers(engine, jobId, begun.lastSeq, begun.events, null);
  return "recorded";
}

/** The end of a task that was executed elsewhere; a start that was never reported is written with it. */
export async function endRemote(engine: Engine, jobId: string, end: RemoteEnd): Promise<RemoteReport> {
  const started = await startRemote(engine, jobId);
  if (started === "unknown") return started;
  const row = await readRow(engine.db.hot, jobId, "");
  if (row === null || row.run_id === null) return "already";
  const recorded = await settleTask(
    engine,
    claimedOf(jobId, row, row.run_id),
    { kind: "final", outcome: end.status, status: end.status, outputJson: row.output, error: end.error },
    null,
  );
  return recorded === "recorded" ? "recorded" : "already";
}

/** Adds what was found out to the output of such a task; before or after its end. False when there is none. */
export async function addRemoteOutput(
  engine: Engine,
  jobId: string,
  change: (output: Record<string, unknown>) => Record<string, unknown>,
): Promise<boolean> {
  return engine.db.hot.begin(async (tx) => {
    const row = await readRow(tx, jobId, "FOR UPDATE OF k");
    if (row === null) return false;
    const output: Record<string, unknown> = row.output === null ? {} : JSON.parse(row.output);
    await tx.unsafe("UPDATE tasks SET output = $2::text::json WHERE job_id = $1 AND index = 0", [
      jobId,
      JSON.stringify(change(output)),
    ]);
    return true;
  });
}

async function beginIn(engine: Engine, tx: Runs, jobId: string) {
  const row = await readRow(tx, jobId, "FOR UPDATE OF k");
  if (row === null) return "unknown" as const;
  if (isFinal(row.status) || row.run_id !== null) return "already" as const;
  const runId = crypto.randomUUID();
  await tx.unsafe(
    `UPDATE tasks SET status = 'running', run_id = $2::uuid, node_id = NULL, started_at = now(), attempt = attempt + 1
     WHERE job_id = $1 AND index = 0`,
    [jobId, runId],
  );
  await tx.unsafe(
    "UPDATE jobs SET status = 'running', held = false, started_at = coalesce(started_at, now()) WHERE id = $1",
    [jobId],
  );
  const events = [statusEvent(0, "running", { attempt: row.attempt + 1, remote: true })];
  const lastSeq = await addEvents(tx, jobId, runId, events);
  await announce(engine, tx, [{ kind: "job", jobId }]);
  return { events, lastSeq };
}

/** `details` is looked at as text: Postgres cannot take apart JSON in which a caller has put an escaped NUL. */
async function readRow(runs: Runs, jobId: string, lock: string): Promise<Row | null> {
  const [row] = await runs.unsafe<Row[]>(
    `SELECT k.status, k.run_id, k.runner, k.target, k.turn, k.attempt, k.priority, k.output::text AS output,
       (extract(epoch FROM k.started_at) * 1000)::float8 AS started_ms
     FROM tasks k JOIN jobs j ON j.id = k.job_id
     WHERE k.job_id = $1 AND k.index = 0 AND j.details::text LIKE '%"remote":true%' ${lock}`,
    [jobId],
  );
  return row ?? null;
}

function claimedOf(jobId: string, row: Row, runId: string): Claimed {
  const startedAtMs = row.started_ms ?? Date.now();
  return {
    jobId,
    index: 0,
    runner: row.runner,
    target: row.target,
    turn: row.turn,
    runId,
    attempt: row.attempt,
    maxAttempts: 1,
    backoffS: 1,
    lostRuns: 0,
    priority: row.priority,
    timeoutMs: 0,
    inputJson: "null",
    optionsJson: null,
    limitsJson: null,
    payloadId: null,
    traceparent: null,
    surface: "",
    taskCount: 1,
    plain: false,
    queuedAtMs: startedAtMs,
    startedAtMs,
  };
}

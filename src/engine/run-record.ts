import type { Sql } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import type { Failure } from "../runners/contract.ts";
import type { RunOutcome } from "./ending.ts";
import type { StoredFacts } from "./facts.ts";

/** One execution of a task as readers see it. `outcome` is null while it runs; facts are there once it has ended. */
export type RunRecord = {
  run_id: string;
  task: number;
  turn: number;
  attempt: number;
  node: string;
  outcome: RunOutcome | null;
  error: Failure | null;
  queued_at: string | null;
  started_at: string | null;
  finished_at: string | null;
} & Partial<StoredFacts>;

const shownMax = 1_000;
const moment = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

type Row = Omit<RunRecord, "error"> & { error: string | null; facts: string | null };

/** Every run of a job, oldest first and those under way last, at most the newest thousand. Throws `not_found`. */
export async function readRuns(sql: Sql, jobId: string): Promise<RunRecord[]> {
  const rows = await sql.unsafe<Row[]>(
    `SELECT run_id, task, turn, attempt, node, outcome, error, facts, ${moment("queued_at")} AS queued_at,
       ${moment("started_at")} AS started_at, ${moment("finished_at")} AS finished_at
     FROM (
       SELECT run_id, task_index AS task, turn, attempt, node_id AS node, outcome, error::text AS error, facts::text AS facts,
         queued_at, started_at, finished_at FROM runs WHERE job_id = $1
       UNION ALL
       SELECT run_id, index, turn, attempt, coalesce(node_id, ''), NULL, NULL, NULL, queued_at, started_at, NULL
         FROM tasks WHERE job_id = $1 AND status = 'running' AND run_id IS NOT NULL
     ) r ORDER BY r.finished_at DESC NULLS FIRST, task DESC, turn DESC LIMIT ${shownMax}`,
    [jobId],
    { prepare: true },
  );
  if (rows.length === 0) await assertJob(sql, jobId);
  return rows.map(recordOf).toReversed();
}

function recordOf({ error, facts, ...row }: Row): RunRecord {
  return { ...row, error: error === null ? null : JSON.parse(error), ...(facts === null ? {} : JSON.parse(facts)) };
}

async function assertJob(sql: Sql, jobId: string): Promise<void> {
  const [job] = await sql`SELECT 1 FROM jobs WHERE id = ${jobId}`;
  if (job === undefined) throw new EngineError("not_found", `There is no job ${jobId}`);
}

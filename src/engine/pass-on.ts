import type { Runs } from "../db/client.ts";
import type { Message, Put } from "../queue/boss.ts";
import { EngineError } from "../errors.ts";
import type { RunnerName } from "../runners/contract.ts";
import { equippedSql, knowsSql } from "./able.ts";
import { databaseNowMs } from "./clock.ts";
import type { Engine } from "./context.ts";
import { knownTarget, type Need, needQueue, type Requires, runnerOfQueue } from "./needs.ts";

const againAfterMs = 5_000;

/** What a claim has just begun, as far as it matters whether this node can run it. */
export type Begun = {
  job_id: string;
  index: number;
  runner: RunnerName;
  target: string;
  turn: number;
  run_id: string;
  priority: number;
  options: string | null;
  requires: string | null;
};

/**
 * Of what was begun in `tx`, gives back what this node cannot run while another might: as if it had never been claimed,
 * with its message in the queue of what it needs. What no living node knows stays: its run says what is missing here.
 */
export async function passOn<Row extends Begun>(
  engine: Engine,
  tx: Runs,
  begun: Row[],
  messages: readonly Message[],
): Promise<{ rows: Row[]; passed: Put[] }> {
  const misfits = begun.flatMap((row) => misfitOf(engine, row) ?? []);
  const misplaced = engine.view.hasPeers ? misfits : misfits.filter(({ isElsewhere }) => isElsewhere);
  if (misplaced.length === 0) return { rows: begun, passed: [] };
  const before = await readBefore(engine, misplaced);
  const leaving = misplaced.filter((misfit) => misfit.isElsewhere || before.get(placeOf(misfit.row))?.isKnown === true);
  if (leaving.length === 0) return { rows: begun, passed: [] };
  const hasQueues = await engine.needs.ensure(leaving.map(({ need }) => need)).then(() => true, tooMany);
  await giveBack(tx, leaving, before, hasQueues);
  const claimed = new Map(
    messages.map((message) => [placeOf({ job_id: message.jobId, index: message.task }), message]),
  );
  const passed = leaving
    .map((misfit) => messageOf(misfit, claimed.get(placeOf(misfit.row))))
    .map((message) => (hasQueues ? message : delayed(engine, message)));
  await engine.queue.put(tx, passed);
  const gone = new Set(leaving.map(({ row }) => row.run_id));
  return { rows: begun.filter((row) => !gone.has(row.run_id)), passed };
}

/** `isElsewhere`: it asks for a place that is not this one, whether or not there is a node in it. */
type Misfit = { row: Begun; need: Need; known: string; isElsewhere: boolean };

function misfitOf(engine: Engine, row: Begun): Misfit | null {
  const { lane } = engine;
  if (lane === null) return null;
  const requires = row.requires === null ? null : (JSON.parse(row.requires) as Requires);
  const known = knownTarget(row.runner, row.target, row.options);
  const isKnown = lane.canRun(row.runner, known);
  const isElsewhere = !lane.offers(requires);
  if (isKnown && !isElsewhere) return null;
  return { row, need: { runner: row.runner, target: isKnown ? null : known, requires }, known, isElsewhere };
}

type Before = {
  job_id: string;
  index: number;
  status: string;
  job_started: string | null;
  task_started: string | null;
  isKnown: boolean;
};

/**
 * What the rows were before this claim, which other connections still see while the claim's transaction has them locked; and
 * whether another living node could run each.
 */
async function readBefore(engine: Engine, misplaced: readonly Misfit[]): Promise<Map<string, Before>> {
  const asked = misplaced.map(({ row, known }) => ({ j: row.job_id, t: row.index, r: row.runner, k: known }));
  // The common pool may be waiting, to its last connection, for the rows that this claim has locked.
  const rows = await engine.db.lease.unsafe<Before[]>(beforeSql, [JSON.stringify(asked), engine.nodeId], {
    prepare: true,
  });
  return new Map(rows.map((row) => [placeOf(row), row]));
}

const beforeSql = `
WITH x AS (
  SELECT * FROM json_to_recordset($1::text::json) AS x(j text, t int, r text, k text)
), elsewhere AS MATERIALIZED (
  SELECT d.r, d.k, EXISTS (SELECT 1 FROM nodes n WHERE n.id <> $2 AND n.lease_until > now() AND n.slots->d.r IS NOT NULL
    AND ${equippedSql("n.capabilities", "d.r")} AND ${knowsSql("n.capabilities", "d.r", "d.k")}) AS is_known
  FROM (SELECT DISTINCT r, k FROM x) d
)
SELECT x.j AS job_id, x.t AS index, j.status, j.started_at::text AS job_started, k.started_at::text AS task_started,
  (SELECT e.is_known FROM elsewhere e WHERE e.r = x.r AND e.k = x.k) AS "isKnown"
FROM x JOIN jobs j ON j.id = x.j JOIN tasks k ON k.job_id = x.j AND k.index = x.t`;

/** The turn stays: the message of this one was taken in the same transaction. */
async function giveBack(
  tx: Runs,
  leaving: readonly Misfit[],
  before: ReadonlyMap<string, Before>,
  hasQueues: boolean,
): Promise<void> {
  const rows = leaving.map(({ row, need }) => {
    const was = before.get(placeOf(row));
    return {
      j: row.job_id,
      t: row.index,
      r: row.run_id,
      q: hasQueues ? needQueue(need) : null,
      s: was?.status ?? "queued",
      js: was?.job_started,
      ts: was?.task_started,
    };
  });
  await tx.unsafe(giveBackSql, [JSON.stringify(rows)]);
}

const giveBackSql = `
WITH x AS (
  SELECT * FROM json_to_recordset($1::text::json) AS x(j text, t int, r uuid, q text, s text, js timestamptz, ts timestamptz)
), back AS (
  UPDATE tasks k SET status = 'queued', run_id = NULL, node_id = NULL, started_at = x.ts, attempt = attempt - 1, need = coalesce(x.q, k.need)
  FROM x WHERE k.job_id = x.j AND k.index = x.t AND k.run_id = x.r
  RETURNING k.job_id, x.r, x.s, x.js
), job AS (
  UPDATE jobs SET status = back.s, started_at = back.js, last_seq = last_seq - 1 FROM back WHERE jobs.id = back.job_id
  RETURNING jobs.id, jobs.last_seq + 1 AS seq, back.r
)
DELETE FROM events e USING job WHERE e.job_id = job.id AND e.seq = job.seq AND e.run_id = job.r`;

function messageOf({ row, need }: Misfit, claimed: Message | undefined): Put {
  const { job_id: jobId, index: task, turn, priority } = row;
  const key = claimed?.concurrency === undefined ? {} : { concurrency: claimed.concurrency };
  return { queue: needQueue(need), jobId, task, turn, priority, ...key };
}

/** While there are too many needs for one more, the work comes by again later, where another node may see it first. */
function delayed(engine: Engine, message: Put): Put {
  return { ...message, queue: runnerOfQueue(message.queue), startAt: new Date(databaseNowMs(engine) + againAfterMs) };
}

function tooMany(fault: unknown): false {
  if (fault instanceof EngineError && fault.code === "queue_full") return false;
  throw fault;
}

function placeOf({ job_id, index }: { job_id: string; index: number }): string {
  return `${index} ${job_id}`;
}

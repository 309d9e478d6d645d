import { isConnectionFault, type Runs } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import { createBatcher } from "./batch.ts";
import type { Engine } from "./context.ts";
import { announceQueued } from "./notify.ts";
import { insertPayloads } from "./payloads.ts";
import { prepare, type Prepared } from "./submit-rows.ts";
import { submitSql } from "./submit-sql.ts";
import type { Receipt, Submission } from "./submission.ts";

export type Submitter = {
  /**
   * Resolves once the job is committed. Equal ids, idempotency keys and dedup keys return the job that has them.
   * Throws `conflict` or `idempotency_mismatch` when they were used for something else, `queue_full`, `draining`.
   */
  submit(submission: Submission): Promise<Receipt>;
  /** All of them in one transaction, or none. */
  submitTogether(submissions: Submission[]): Promise<Receipt[]>;
  idle(): Promise<void>;
};

const groupMax = 500;
const fullRetryS = 5;

export function createSubmitter(engine: Engine): Submitter {
  const batcher = createBatcher((group: Submission[]) => writeGroup(engine, group), { groupMax });
  return {
    async submit(submission) {
      refuseWhenFull(engine, 1);
      const outcome =
        submission.dedup === undefined ? await batcher.add(submission) : await submitDeduplicated(engine, submission);
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    async submitTogether(submissions) {
      refuseWhenFull(engine, submissions.length);
      return submitAtomically(engine, submissions);
    },
    idle: () => batcher.idle(),
  };
}

function refuseWhenFull(engine: Engine, adding: number): void {
  if (engine.view.draining)
    throw new EngineError("draining", "This node is shutting down", { retryAfterSeconds: fullRetryS });
  if (engine.view.waiting + adding > engine.queueMax) {
    throw new EngineError(
      "queue_full",
      `${engine.view.waiting} tasks are waiting, which is the most this service takes`,
      {
        retryAfterSeconds: fullRetryS,
      },
    );
  }
}

type Written = Receipt | EngineError;

/** One statement for all; should that fail for the sake of one of them, each alone. */
async function writeGroup(engine: Engine, group: Submission[]): Promise<Written[]> {
  const prepared = prepareAll(engine, group);
  try {
    return await write(engine, prepared);
  } catch (fault) {
    releaseAll(engine, prepared);
    if (group.length === 1 || isConnectionFault(fault)) throw fault;
    return writeSingly(engine, group);
  }
}

async function writeSingly(engine: Engine, group: Submission[]): Promise<Written[]> {
  const written: Written[] = [];
  for (const submission of group) {
    try {
      written.push(...(await writeGroup(engine, [submission])));
    } catch (cause) {
      written.push(new EngineError("unavailable", "The job could not be stored", { cause }));
    }
  }
  return written;
}

function prepareAll(engine: Engine, group: Submission[]): Prepared[] {
  const prepared: Prepared[] = [];
  const byPriority = group
    .map((submission, at) => ({ submission, at }))
    .sort((a, b) => a.submission.priority - b.submission.priority || a.at - b.at);
  for (const { submission, at } of byPriority) prepared[at] = prepare(engine, submission);
  return prepared;
}

async function write(engine: Engine, prepared: Prepared[]): Promise<Written[]> {
  const isOneStatement = prepared.every((entry) => entry.message === null && entry.submission.payload === undefined);
  const fresh = !isOneStatement
    ? await engine.db.sql.begin((tx) => insert(engine, tx, prepared))
    : await insert(engine, engine.db.sql, prepared);
  settle(engine, prepared, fresh);
  return receipts(engine, prepared, fresh);
}

/** Returns the ids that are new. Of equal ids in one group only the first is written. */
async function insert(engine: Engine, runs: Runs, prepared: Prepared[]): Promise<Set<string>> {
  const distinct = [...new Map(prepared.toReversed().map((entry) => [entry.id, entry])).values()];
  const jobs = JSON.stringify(distinct.map((entry) => entry.job));
  const tasks = JSON.stringify(distinct.flatMap((entry) => entry.tasks));
  const rows = await runs.unsafe<{ id: string }[]>(submitSql, [jobs, tasks], { prepare: true });
  const fresh = new Set(rows.map((row) => row.id));
  await insertPayloads(
    runs,
    engine.nodeId,
    distinct.filter((entry) => fresh.has(entry.id)),
  );
  const messages = distinct.flatMap((entry) => (entry.message !== null && fresh.has(entry.id) ? [entry.message] : []));
  if (messages.length > 0) {
    await engine.queue.put(runs, messages);
    await announceQueued(engine, runs, messages);
  }
  return fresh;
}

/** After the commit: what got the fast lane starts, what was not written gives its slot back. */
function settle(engine: Engine, prepared: Prepared[], fresh: Set<string>): void {
  const started = new Set<string>();
  for (const { id, start, message } of prepared) {
    const isNew = fresh.has(id) && !started.has(id);
    if (isNew) started.add(id);
    if (start !== null && isNew) engine.lane?.run(start);
    else if (start !== null) engine.lane?.release(start.runner);
    else if (message !== null && isNew) {
      engine.view.waiting++;
      if (message.startAt == null) engine.lane?.wake(message.queue);
    }
  }
}

function releaseAll(engine: Engine, prepared: Prepared[]): void {
  for (const { start } of prepared) if (start !== null) engine.lane?.release(start.runner);
}

async function receipts(engine: Engine, prepared: Prepared[], fresh: Set<string>): Promise<Written[]> {
  const seen = new Set<string>();
  const written: Written[] = [];
  for (const { id, submission } of prepared) {
    const isNew = fresh.has(id) && !seen.has(id);
    seen.add(id);
    written.push(isNew ? { id, existing: false } : await existing(engine, submission));
  }
  return written;
}

/** The job that stands in the way of this submission, or the refusal when it was a different one. */
async function existing(engine: Engine, submission: Submission): Promise<Written> {
  const [row] = await engine.db.sql<{ id: string; fingerprint: string | null }[]>`
    SELECT id, fingerprint FROM jobs
    WHERE id = ${submission.id ?? null} OR (client = ${submission.client} AND idempotency_key = ${submission.idempotencyKey ?? null})
    LIMIT 1`;
  if (row === undefined) throw new Error(`job ${submission.id ?? "without id"} was neither written nor found`);
  const by = row.id === submission.id ? "id" : "idempotency";
  if (submission.fingerprint === undefined || submission.fingerprint === row.fingerprint)
    return { id: row.id, existing: true, by };
  return by === "id"
    ? new EngineError("conflict", `Job ${row.id} exists and was submitted with another body`)
    : new EngineError("idempotency_mismatch", "This Idempotency-Key was used with another request");
}

async function submitDeduplicated(engine: Engine, submission: Submission): Promise<Written> {
  const key = submission.dedup?.key ?? "";
  const prepared: Prepared[] = [];
  const outcome = await engine.db.sql
    .begin(async (tx) => {
      await tx`SELECT pg_advisory_xact_lock(hashtextextended(${`dedup:${key}`}, 0))`;
      const [holder] = await tx<{ id: string }[]>`
        SELECT id FROM jobs WHERE dedup_key = ${key} AND (dedup_until > now() OR (dedup_until IS NULL AND finished_at IS NULL))
        ORDER BY created_at DESC LIMIT 1`;
      if (holder !== undefined) return holder.id;
      prepared.push(prepare(engine, submission));
      return insert(engine, tx, prepared);
    })
    .catch((fault: unknown) => {
      releaseAll(engine, prepared);
      throw fault;
    });
  if (typeof outcome === "string") return { id: outcome, existing: true, by: "dedup" };
  settle(engine, prepared, outcome);
  return (await receipts(engine, prepared, outcome))[0] as Written;
}

async function submitAtomically(engine: Engine, submissions: Submission[]): Promise<Receipt[]> {
  const prepared = prepareAll(engine, submissions);
  const clash = new EngineError("conflict", "One of the jobs exists already: nothing was submitted");
  const fresh = await engine.db.sql
    .begin(async (tx) => {
      const written = await insert(engine, tx, prepared);
      if (written.size < prepared.length) throw clash;
      return written;
    })
    .catch((fault: unknown) => {
      releaseAll(engine, prepared);
      throw fault;
    });
  settle(engine, prepared, fresh);
  return prepared.map(({ id }) => ({ id, existing: false }));
}

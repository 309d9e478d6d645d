import type { Runs } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import { rowsOf } from "../queue/put-sql.ts";
import type { Engine } from "./context.ts";
import { queuedTexts } from "./notify.ts";
import { refusalOf } from "./submit-refusal.ts";
import { prepare, type Prepared } from "./submit-rows.ts";
import { submitSql, submitWithPayloadsSql } from "./submit-sql.ts";
import type { Receipt, Submission } from "./submission.ts";
import { countAccepted } from "./tally.ts";
import { isAnyGivenUp } from "./uploads.ts";

/** A submission of a group, with its rows when its run has begun already. */
export type Asked = { submission: Submission; begun: Prepared | null };

export type Written = Receipt | EngineError;

/** One statement for all. Throws when they could not be written: then none was. */
export async function writeGroup(engine: Engine, group: Asked[]): Promise<Written[]> {
  const prepared: Prepared[] = [];
  const fresh = await prepareAndInsert(engine, group, prepared).catch((fault: unknown) => {
    releaseAll(engine, prepared);
    // Nothing begins ahead of a database that may be away.
    engine.view.wroteAtMs = Number.NEGATIVE_INFINITY;
    throw fault;
  });
  engine.view.wroteAtMs = performance.now();
  settle(engine, prepared, fresh);
  return receipts(engine, prepared, fresh);
}

async function prepareAndInsert(engine: Engine, group: Asked[], prepared: Prepared[]): Promise<Fresh> {
  prepareAll(engine, group, prepared);
  return insert(engine, engine.db.sql, prepared);
}

/** In the order of the group, into `prepared`; the more urgent ones get free slots first. */
function prepareAll(engine: Engine, group: Asked[], prepared: Prepared[]): void {
  const entries = group.map(({ submission, begun }, at) => ({ submission, begun, at }));
  const byPriority = entries.toSorted((a, b) => a.submission.priority - b.submission.priority || a.at - b.at);
  const places = new Map<Prepared, number>();
  for (const { submission, begun, at } of byPriority) {
    const entry = begun ?? prepare(engine, submission);
    places.set(entry, at);
    prepared.push(entry);
  }
  prepared.sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0));
}

/** The ids that are new, with the time at which they were. */
type Fresh = ReadonlyMap<string, string>;

/** Of equal ids in one group only the first is written. */
async function insert(engine: Engine, runs: Runs, prepared: Prepared[]): Promise<Fresh> {
  const seen = new Set<string>();
  const distinct = prepared.filter(({ id }) => seen.size < seen.add(id).size);
  const jobs = JSON.stringify(distinct.toSorted(byNames).map((entry) => entry.job));
  const tasks = JSON.stringify(distinct.flatMap((entry) => entry.tasks));
  const mayWait = prepared.every(({ submission }) => submission.isToldAtEnd === true);
  const messages = distinct.flatMap(({ message }) => message ?? []);
  const payloads = distinct.flatMap(payloadRows);
  const [text, more] =
    payloads.length === 0 ? [submitSql, []] : [submitWithPayloadsSql, [JSON.stringify(payloads), engine.nodeId]];
  const values = [jobs, tasks, mayWait, JSON.stringify(rowsOf(messages)), queuedTexts(engine, messages), ...more];
  const [written] = await runs.unsafe<{ ids: string | null; at: string }[]>(text, values, { prepare: true });
  return new Map(idsOf(written?.ids).map((id) => [id, written?.at ?? ""]));
}

function idsOf(json: string | null | undefined): string[] {
  return JSON.parse(json ?? "[]");
}

function payloadRows({ id, submission: { payload } }: Prepared): Record<string, unknown>[] {
  if (payload === undefined) return [];
  const { files, bytes, manifestJson } = payload;
  return [{ id: payload.id, job_id: id, files, bytes, manifest: manifestJson }];
}

/** Of two groups with the same names neither must hold one that the other has got past. */
function byNames(a: Prepared, b: Prepared): number {
  return compare(a.submission.idempotencyKey ?? "", b.submission.idempotencyKey ?? "") || compare(a.id, b.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** After the commit: what got the fast lane starts, what was not written gives its slot back. */
function settle(engine: Engine, prepared: Prepared[], fresh: Fresh): void {
  const started = new Set<string>();
  const woken = new Set<string>();
  for (const { id, start, message, submission, isBegun } of prepared) {
    const isNew = fresh.has(id) && !started.has(id);
    if (isNew) {
      started.add(id);
      countAccepted(engine.tally, submission.surface);
    }
    if (isBegun === true) continue;
    if (start !== null && isNew) engine.lane?.run(start);
    else if (start !== null) engine.lane?.release(start.runner);
    else if (message !== null && isNew) {
      engine.view.waiting++;
      engine.queue.hasPut(message);
      if (message.startAt == null) woken.add(message.queue);
    }
  }
  for (const queue of woken) engine.lane?.wake(queue);
}

function releaseAll(engine: Engine, prepared: Prepared[]): void {
  for (const { start, isBegun } of prepared) if (start !== null && isBegun !== true) engine.lane?.release(start.runner);
}

/** What each caller is told. The jobs are committed: that one could not be looked up must not undo the others. */
async function receipts(engine: Engine, prepared: Prepared[], fresh: Fresh): Promise<Written[]> {
  const seen = new Set<string>();
  const written: Written[] = [];
  for (const entry of prepared) {
    const { id, submission } = entry;
    const isNew = fresh.has(id) && !seen.has(id);
    seen.add(id);
    written.push(isNew ? receiptOf(engine, entry, fresh) : await existing(engine, submission).catch(refusalOf));
  }
  return written;
}

function receiptOf(engine: Engine, { id, start }: Prepared, fresh: Fresh): Receipt {
  const run = start === null ? null : { runId: start.runId, nodeId: engine.nodeId };
  return { id, existing: false, accepted: { at: fresh.get(id) ?? "", run } };
}

/** The job that stands in the way of this submission, or the refusal when it was a different one. */
async function existing(engine: Engine, submission: Submission): Promise<Written> {
  const byId = submission.id === undefined ? null : await findById(engine, submission.id);
  const found = byId ?? (await findByIdempotency(engine, submission));
  if (found === null) {
    const isGivenUp = await isAnyGivenUp(engine.db.sql, payloadIds([submission]));
    return isGivenUp ? givenUp() : new EngineError("conflict", "The files of this job belong to another job");
  }
  if (submission.fingerprint === undefined || submission.fingerprint === found.fingerprint)
    return { id: found.id, existing: true, by: byId === null ? "idempotency" : "id" };
  return byId === null
    ? new EngineError("idempotency_mismatch", "This Idempotency-Key was used with another request")
    : new EngineError("conflict", `Job ${found.id} exists and was submitted with another body`);
}

function payloadIds(submissions: Submission[]): number[] {
  return submissions.flatMap(({ payload }) => (payload === undefined ? [] : [payload.id]));
}

function givenUp(): EngineError {
  return new EngineError("unavailable", "The upload took too long, and its files were removed: send it again");
}

type Found = { id: string; fingerprint: string | null };

async function findById(engine: Engine, id: string): Promise<Found | null> {
  const [row] = await engine.db.sql<Found[]>`SELECT id, fingerprint FROM jobs WHERE id = ${id}`;
  return row ?? null;
}

async function findByIdempotency(engine: Engine, { client, idempotencyKey }: Submission): Promise<Found | null> {
  if (idempotencyKey === undefined) return null;
  const [row] = await engine.db.sql<Found[]>`
    SELECT id, fingerprint FROM jobs WHERE client = ${client} AND idempotency_key = ${idempotencyKey}`;
  return row ?? null;
}

export async function submitDeduplicated(engine: Engine, submission: Submission): Promise<Written> {
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

export async function submitAtomically(engine: Engine, submissions: Submission[]): Promise<Receipt[]> {
  const prepared: Prepared[] = [];
  const fresh = await engine.db.sql
    .begin(async (tx) => {
      prepareAll(
        engine,
        submissions.map((submission) => ({ submission, begun: null })),
        prepared,
      );
      const written = await insert(engine, tx, prepared);
      if (written.size < prepared.length) throw await clashOf(tx, submissions);
      return written;
    })
    .catch((fault: unknown) => {
      releaseAll(engine, prepared);
      throw fault;
    });
  settle(engine, prepared, fresh);
  return prepared.map((entry) => receiptOf(engine, entry, fresh));
}

async function clashOf(tx: Runs, submissions: Submission[]): Promise<EngineError> {
  const isGivenUp = await isAnyGivenUp(tx, payloadIds(submissions));
  return isGivenUp ? givenUp() : new EngineError("conflict", "One of the jobs exists already: nothing was submitted");
}

import { databaseNowMs } from "../../engine/clock.ts";
import { readJobs } from "../../engine/read.ts";
import type { Receipt } from "../../engine/submission.ts";
import { EngineError, type Problem } from "../../errors.ts";
import { readJson } from "../../http/body.ts";
import { problem } from "../../http/problem.ts";
import { refusalOf } from "../../http/refusal.ts";
import { createBodyCheck, invalid } from "./check-body.ts";
import type { ApiDeps } from "./deps.ts";
import { acceptedJob } from "./accepted-job.ts";
import { type Draft, draftJob, type Origin } from "./draft.ts";
import { findReplay } from "./replay.ts";
import { jobBody } from "./job-body.ts";
import { originOf } from "./origin.ts";
import { readQuery } from "./query.ts";
import { type Stored, submitDraft, submitDraftsTogether } from "./submit-job.ts";
import type { Job } from "./wire-job.ts";
import { batchModel } from "./wire-submit.ts";

export type BatchEntry = { job: Job; deduplicated?: boolean } | { error: unknown };
type Caller = { client: string; address: string };
type Item = { draft: Draft } | { fault: EngineError };
type Outcome = { submission: Stored; receipt: Receipt } | EngineError;

const checkShape = createBodyCheck(batchModel, "The batch");
const problemsMax = 100;
const nothing = { files: [], staging: null, reservation: null };

/** Takes many jobs: each for itself, or with `?atomic=true` all or none. An entry an item, in order. */
export async function postBatch(deps: ApiDeps, request: Request, caller: Caller): Promise<BatchEntry[]> {
  const query = readQuery(request, ["atomic"]);
  const isAtomic = query.flag("atomic");
  query.done();
  const body = await readJson(request, { maxBytes: deps.settings.bodyMaxBytes, mustBeJsonType: true });
  const origin = originOf(request, { ...caller, files: [], nowMs: databaseNowMs(deps.engine) });
  const items = checkShape(body).map((item, at) => draftItem(deps, item, itemOrigin(origin, at)));
  const outcomes = isAtomic ? await submitAll(deps, items) : await submitEach(deps, items);
  return entriesOf(deps, request, outcomes);
}

/** A repeated batch finds its jobs one by one: each has a key of its own, made from the batch's. */
function itemOrigin(origin: Origin, at: number): Origin {
  const { idempotencyKey } = origin;
  return idempotencyKey === null ? origin : { ...origin, idempotencyKey: `${idempotencyKey}#${at}` };
}

function draftItem(deps: ApiDeps, item: unknown, origin: Origin): Item {
  try {
    return { draft: draftJob(deps, item, { ...origin, isStreamed: false }) };
  } catch (fault) {
    if (fault instanceof EngineError) return { fault };
    throw fault;
  }
}

async function submitEach(deps: ApiDeps, items: Item[]): Promise<Outcome[]> {
  return Promise.all(
    items.map(async (item) => {
      if ("fault" in item) return item.fault;
      try {
        return await submitDraft(deps, item.draft, nothing);
      } catch (fault) {
        if (fault instanceof EngineError) return fault;
        throw fault;
      }
    }),
  );
}

async function submitAll(deps: ApiDeps, items: Item[]): Promise<Outcome[]> {
  const problems = items.flatMap((item, at) => problemsOf(item, at));
  if (problems.length > 0) throw invalid("The batch", problems.slice(0, problemsMax));
  const drafts = items.flatMap((item) => ("draft" in item ? [item.draft] : []));
  try {
    return await submitDraftsTogether(deps, drafts);
  } catch (fault) {
    const replay = fault instanceof EngineError && fault.code === "conflict" ? await findReplay(deps, drafts) : null;
    if (replay === null) throw fault;
    return drafts.flatMap(({ submission }, at) => {
      const receipt = replay[at];
      return receipt === undefined ? [] : [{ submission, receipt }];
    });
  }
}

function problemsOf(item: Item, at: number): Problem[] {
  if ("fault" in item) {
    const found = item.fault.options.problems ?? [{ pointer: "", detail: item.fault.message }];
    return found.map(({ pointer, detail }) => ({ pointer: `/${at}${pointer}`, detail }));
  }
  const detail = "must not be there: jobs that are written together cannot step back for another";
  return item.draft.submission.dedup === undefined ? [] : [{ pointer: `/${at}/dedup`, detail }];
}

async function entriesOf(deps: ApiDeps, request: Request, outcomes: Outcome[]): Promise<BatchEntry[]> {
  const known = outcomes.flatMap((outcome) =>
    outcome instanceof EngineError || !outcome.receipt.existing ? [] : [outcome.receipt.id],
  );
  const jobs = new Map((await readJobs(deps.engine.db.sql, [...new Set(known)])).map((job) => [job.id, job]));
  return Promise.all(
    outcomes.map(async (outcome): Promise<BatchEntry> => {
      if (outcome instanceof EngineError) return { error: await problemBody(outcome, request) };
      const { submission, receipt } = outcome;
      if (!receipt.existing) return { job: acceptedJob(submission, receipt.accepted, deps.settings.publicUrl) };
      const job = jobs.get(receipt.id);
      if (job === undefined) throw new Error(`job ${receipt.id} was found and is not there`);
      const body = jobBody(job, deps.settings.publicUrl);
      return receipt.by === "dedup" ? { job: body, deduplicated: true } : { job: body };
    }),
  );
}

async function problemBody(fault: EngineError, request: Request): Promise<unknown> {
  const refusal = refusalOf(fault, request);
  return problem(refusal.code, refusal.detail, refusal).json();
}

import { databaseNowMs } from "../../engine/clock.ts";
import type { JobReader } from "../../engine/job-reader.ts";
import type { Receipt } from "../../engine/submission.ts";
import { isFinal } from "../../engine/status.ts";
import { waitFor, waitForExisting } from "../../engine/wait.ts";
import { acceptedJob } from "./accepted-job.ts";
import { type Draft, draftJob } from "./draft.ts";
import type { ApiDeps } from "./deps.ts";
import { discard, type Incoming, readIncoming } from "./incoming.ts";
import { jobLink } from "./job-body.ts";
import { originOf, streamFormat } from "./origin.ts";
import { preferenceApplied, readPreferences } from "./prefer.ts";
import { readWithWaiting } from "./read-job.ts";
import { streamJob } from "./stream-job.ts";
import { type Stored, submitDraft } from "./submit-job.ts";
import type { Job } from "./wire-job.ts";

export type Posted = { status: 200 | 202; headers: Record<string, string>; body: Job };
type Caller = { client: string; address: string };

/**
 * Takes one job. The answer is the job at once, or when it has ended within the time that `Prefer: wait` asks for, or its stream. A
 * caller that leaves does not cancel it.
 */
export async function postJob(
  deps: ApiDeps,
  reader: JobReader,
  request: Request,
  caller: Caller,
): Promise<Posted | Response> {
  const incoming = await readIncoming(deps, request);
  const draft = await draftOrDiscard(deps, incoming, request, caller);
  const format = streamFormat(request);
  const { waitS, respondAsync } = readPreferences(request.headers.get("prefer"));
  const waitMs = Math.min((waitS ?? 0) * 1_000, deps.settings.waitMaxMs);
  const { submission, receipt, isOver } = await submitAndWait(deps, draft, incoming, {
    waitMs: format === null ? waitMs : 0,
    signal: request.signal,
  });
  const headers = headersFor(deps, receipt);
  if (format !== null) return streamJob(deps, request, { id: receipt.id, after: 0, format, headers });
  const applied = preferenceApplied({ waitS, respondAsync }, waitMs);
  const isRead = receipt.existing || waitMs > 0;
  const job = isRead
    ? await readWithWaiting(deps, reader, receipt.id)
    : acceptedJob(submission, receipt.accepted, deps.settings.publicUrl);
  const isHolder = receipt.existing && receipt.by === "dedup";
  return {
    status: isHolder || (isOver && isFinal(job.status)) ? 200 : 202,
    headers: applied === null ? headers : { ...headers, "preference-applied": applied },
    body: job,
  };
}

async function draftOrDiscard(deps: ApiDeps, incoming: Incoming, request: Request, caller: Caller): Promise<Draft> {
  try {
    return draftJob(
      deps,
      incoming.body,
      originOf(request, { ...caller, files: incoming.files, nowMs: databaseNowMs(deps.engine) }),
    );
  } catch (fault) {
    await discard(incoming);
    throw fault;
  }
}

/** The wait begins before the submit, so that not even the quickest end is missed. */
async function submitAndWait(
  deps: ApiDeps,
  draft: Draft,
  incoming: Incoming,
  { waitMs, signal }: { waitMs: number; signal: AbortSignal },
): Promise<{ submission: Stored; receipt: Receipt; isOver: boolean }> {
  if (waitMs === 0) return { ...(await submitDraft(deps, draft, incoming)), isOver: false };
  const wait = waitFor(deps.engine, draft.submission.id);
  try {
    const { submission, receipt } = await submitDraft(deps, draft, incoming);
    const ended = receipt.existing
      ? await waitForExisting(deps.engine, receipt.id, waitMs, signal)
      : await wait.ended(waitMs, signal);
    return { submission, receipt, isOver: ended !== null };
  } finally {
    wait.close();
  }
}

function headersFor({ settings }: ApiDeps, receipt: Receipt): Record<string, string> {
  const by = receipt.existing ? receipt.by : null;
  return {
    location: jobLink(receipt.id, settings.publicUrl),
    vary: "Prefer, Accept",
    ...(by === "dedup" ? { "fairlead-deduplicated": "true" } : {}),
    ...(by === "idempotency" ? { "idempotency-replayed": "true" } : {}),
  };
}

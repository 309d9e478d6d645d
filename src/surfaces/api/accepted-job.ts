import type { JobView, TaskView } from "../../engine/job-view.ts";
import type { Accepted, Submission } from "../../engine/submission.ts";
import type { Waiting } from "../../engine/waiting.ts";
import { jobBody } from "./job-body.ts";
import type { Job } from "./wire-job.ts";

/**
 * A job as it was at its commit, which is what a submit is answered with: the same as a reader would have seen at that moment, without
 * asking for it. Its place in the queue would have to be counted, so `waiting` is only there where the submission itself is the reason.
 */
export function acceptedJob(submission: Submission & { id: string }, accepted: Accepted, publicUrl: string): Job {
  const { at, run } = accepted;
  const isHeld = submission.held === true;
  const tasks = submission.tasks.map((_, index) => taskOf(submission, index, run));
  const view: JobView = {
    id: submission.id,
    surface: submission.surface,
    runner: tasks[0]?.runner ?? "function",
    status: run === null ? "queued" : "running",
    priority: submission.priority,
    client: submission.client,
    tags: submission.tags ?? [],
    created_at: at,
    queued_at: isHeld ? null : at,
    started_at: run === null ? null : at,
    finished_at: null,
    attempts: run === null ? 0 : 1,
    max_attempts: Math.max(...submission.tasks.map(({ maxAttempts }) => maxAttempts)),
    held: isHeld,
    input: JSON.parse(submission.inputJson),
    result: null,
    error: null,
    tasks,
    payload: payloadOf(submission),
    dedup_key: submission.dedup?.key ?? null,
    webhook: submission.webhook === undefined ? null : { url: submission.webhook.url, state: "none" },
    details: {},
    last_seq: 1,
  };
  return jobBody(view, publicUrl, waitingOf(submission, Date.parse(accepted.at)));
}

function taskOf({ tasks }: Submission, index: number, run: Accepted["run"]): TaskView {
  const { runner, target } = tasks[index] ?? { runner: "function", target: "" };
  const runs = index === 0 ? run : null;
  return {
    index,
    runner,
    target,
    status: runs === null ? "queued" : "running",
    attempts: runs === null ? 0 : 1,
    output: null,
    error: null,
    run: runs === null ? null : { run_id: runs.runId, node: runs.nodeId, attempt: 1 },
  };
}

function payloadOf({ payload }: Submission): JobView["payload"] {
  return payload === undefined ? null : { id: payload.id, files: payload.files, bytes: payload.bytes, cleaned: false };
}

function waitingOf({ held, runAt }: Submission, nowMs: number): Waiting | undefined {
  if (held === true) return { position: null, reason: "held" };
  const isLater = runAt !== undefined && runAt.getTime() > nowMs;
  return isLater ? { position: null, reason: `delayed until ${runAt.toISOString()}` } : undefined;
}

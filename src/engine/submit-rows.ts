import type { Put } from "../queue/boss.ts";
import type { RunnerName } from "../runners/contract.ts";
import type { Claimed } from "./claimed.ts";
import { databaseNowMs } from "./clock.ts";
import type { FastLane, Engine } from "./context.ts";
import { linesJson, statusEvent } from "./history.ts";
import { knownTarget, needOf, needQueue } from "./needs.ts";
import type { Submission, TaskSpec } from "./submission.ts";

/** A submission with everything decided: its rows, and what happens once they are committed. */
export type Prepared = {
  id: string;
  submission: Submission;
  job: Record<string, unknown>;
  tasks: Record<string, unknown>[];
  /** Started by this node at once. */
  start: Claimed | null;
  /** Put in the queue. */
  message: Put | null;
  /** Its run has begun: whether it was written or not, its slot is given back by the run. */
  isBegun?: true;
};

/** Decides how each submission begins: at once on this node, from the queue, or not before it is released. */
export function prepare(engine: Engine, submission: Submission): Prepared {
  const id = submission.id ?? Bun.randomUUIDv7();
  const [first] = submission.tasks;
  if (first === undefined) throw new Error("a submission needs at least one task");
  const lane = laneFor(engine, submission, first);
  try {
    return rowsOf(engine, id, submission, first, lane !== null);
  } catch (fault) {
    // What cannot be written as JSON must not keep its slot.
    lane?.release(first.runner);
    throw fault;
  }
}

function rowsOf(engine: Engine, id: string, submission: Submission, first: TaskSpec, startsHere: boolean): Prepared {
  const start = startsHere ? claimedAtOnce(id, submission, first, databaseNowMs(engine)) : null;
  const message = startsHere || submission.held === true ? null : messageFor(id, submission, first);
  return {
    id,
    submission,
    job: jobRow(id, submission, startsHere),
    tasks: taskRows(engine, id, submission, start),
    start,
    message,
  };
}

function laneFor(engine: Engine, submission: Submission, first: TaskSpec): FastLane | null {
  const delayed = submission.runAt !== undefined && submission.runAt.getTime() > databaseNowMs(engine);
  if (engine.lane === null || submission.held === true || delayed) return null;
  if (submission.concurrency !== undefined) return null;
  // Whoever wants to be told of the start is told by the claim.
  if (submission.webhook?.events.includes("started") === true) return null;
  const target = knownTarget(first.runner, first.target, first.options);
  return engine.lane.reserve(first.runner, target, { requires: first.requires ?? null }) ? engine.lane : null;
}

function claimedAtOnce(id: string, submission: Submission, first: TaskSpec, now: number): Claimed {
  return {
    jobId: id,
    index: 0,
    runner: first.runner,
    target: first.target,
    turn: 1,
    runId: crypto.randomUUID(),
    attempt: 1,
    maxAttempts: first.maxAttempts,
    backoffS: first.backoffS,
    lostRuns: 0,
    priority: submission.priority,
    timeoutMs: first.timeoutMs,
    inputJson: submission.inputJson,
    optionsJson: first.options === undefined ? null : JSON.stringify(first.options),
    limitsJson: first.limits === undefined ? null : JSON.stringify(first.limits),
    payloadId: submission.payload?.id ?? null,
    traceparent: submission.traceparent ?? null,
    surface: submission.surface,
    taskCount: submission.tasks.length,
    plain: submission.tasks.length === 1 && submission.webhook === undefined,
    ...aheadOf(submission),
    queuedAtMs: now,
    startedAtMs: now,
  };
}

/** What is started at once has no concurrency key. */
function aheadOf({ tasks: [, second], webhook }: Submission): Pick<Claimed, "ahead"> {
  if (second === undefined) return {};
  const link = {
    runner: second.runner,
    target: second.target,
    turn: 1,
    timeout_ms: second.timeoutMs,
    max_attempts: second.maxAttempts,
    backoff_s: second.backoffS,
    options: text(second.options) ?? null,
    limits: text(second.limits) ?? null,
    input: null,
    requires: text(second.requires) ?? null,
    need: needOfTask(second) ?? null,
  };
  return { ahead: { link, isQuiet: webhook === undefined } };
}

function messageFor(id: string, submission: Submission, first: TaskSpec): Put {
  return {
    queue: needOfTask(first) ?? (first.runner satisfies RunnerName),
    jobId: id,
    task: 0,
    turn: 1,
    priority: submission.priority,
    startAt: submission.runAt ?? null,
    ...(submission.concurrency ? { concurrency: submission.concurrency } : {}),
  };
}

function jobRow(id: string, submission: Submission, running: boolean): Record<string, unknown> {
  return {
    id,
    surface: submission.surface,
    client: submission.client,
    runner: submission.tasks[0]?.runner,
    status: running ? "running" : "queued",
    priority: submission.priority,
    name: submission.tasks.length === 1 ? submission.tasks[0]?.target : submission.tasks.map(targetOf).join(" "),
    input: submission.inputJson,
    ev: linesJson([
      statusEvent(0, running ? "running" : "queued", running ? { attempt: 1 } : submission.held ? { held: true } : {}),
    ]),
    more: given({
      tags: submission.tags?.length === 0 ? undefined : submission.tags,
      held: submission.held === true ? true : undefined,
      dedup_key: submission.dedup?.key,
      dedup_s: submission.dedup?.while === "active" ? undefined : submission.dedup?.while,
      idem: submission.idempotencyKey,
      fp: submission.fingerprint,
      ck: submission.concurrency?.key,
      cm: submission.concurrency?.max,
      pid: submission.payload?.id,
      webhook: text(submission.webhook),
      details: text(submission.details),
      trace: submission.traceparent,
    }),
  };
}

/** Null where nothing is given at all. */
function given(values: Record<string, unknown>): Record<string, unknown> | null {
  for (const name in values) if (values[name] !== undefined) return values;
  return null;
}

function targetOf(task: TaskSpec): string {
  return task.target;
}

function taskRows(
  engine: Engine,
  id: string,
  submission: Submission,
  start: Claimed | null,
): Record<string, unknown>[] {
  return submission.tasks.map((task, index) => {
    const starts = index === 0 && start !== null;
    return {
      job_id: id,
      index,
      runner: task.runner,
      target: task.target,
      status: starts ? "running" : "queued",
      priority: submission.priority,
      max_attempts: task.maxAttempts,
      backoff_s: task.backoffS,
      timeout_ms: task.timeoutMs,
      first: index === 0 && submission.held !== true,
      run_id: starts ? start.runId : undefined,
      node_id: starts ? engine.nodeId : undefined,
      more: given({
        limits: text(task.limits),
        options: text(task.options),
        requires: text(task.requires),
        need: needOfTask(task),
        not_before: index === 0 ? submission.runAt?.toISOString() : undefined,
      }),
    };
  });
}

function needOfTask({ runner, requires }: TaskSpec): string | undefined {
  const need = needOf(runner, requires);
  return need === null ? undefined : needQueue(need);
}

function text(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

import type { Claimed } from "../engine/claimed.ts";
import { EngineError } from "../errors.ts";
import type { ActiveRun, Outcome, RunFacts, Runner, RunRequest } from "../runners/contract.ts";
import type { EventSink } from "./sink.ts";

/** What surrounds a run of one runner: its files before, and what is kept of them after. */
export type RunFiles = {
  /** The directory to run in, or null. Rejects when the files are gone. */
  before(task: Claimed): Promise<string | null>;
  /** Records what the run left behind; called whatever the outcome. */
  after(task: Claimed): Promise<void>;
};

/** Where a run runs, the trace that it belongs to, and what the clock there says. */
type Surroundings = Pick<RunRequest, "directory" | "traceparent" | "clockAheadMs">;

/** Starts a claimed task. A request that cannot even be built ends as a failed outcome. */
export function startRun(runner: Runner, task: Claimed, sink: EventSink, surroundings: Surroundings): ActiveRun {
  try {
    return runner.start(requestOf(task, surroundings), sink);
  } catch (fault) {
    return failedToStart(fault);
  }
}

/** A run that never began, for a reason that is not the work's. Where that passes by itself the task waits once more. */
export function failedToStart(fault: unknown): ActiveRun {
  if (fault instanceof EngineError && fault.code === "unavailable")
    return { done: Promise.resolve({ outcome: { kind: "interrupted" }, facts: noFacts }), stop: () => undefined };
  const message = fault instanceof Error ? fault.message : String(fault);
  const outcome: Outcome = {
    kind: "failed",
    error: { code: "runner_error", message: `The run could not be started: ${message}` },
  };
  return { done: Promise.resolve({ outcome, facts: noFacts }), stop: () => undefined };
}

export const noFacts: RunFacts = {
  sandbox: "none",
  wallMs: 0,
  cpuMs: null,
  maxRssMb: null,
  exitCode: null,
  signal: null,
  limits: null,
};

function requestOf(task: Claimed, surroundings: Surroundings): RunRequest {
  return {
    jobId: task.jobId,
    taskIndex: task.index,
    runId: task.runId,
    attempt: task.attempt,
    target: task.target,
    inputJson: task.inputJson,
    // Parsed only by runners that look inside.
    get input() {
      return JSON.parse(task.inputJson);
    },
    options: task.optionsJson === null ? {} : JSON.parse(task.optionsJson),
    limits: task.limitsJson === null ? {} : JSON.parse(task.limitsJson),
    timeoutMs: task.timeoutMs,
    ...surroundings,
  };
}

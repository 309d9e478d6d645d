import type { ActiveRun, Outcome, RunFacts, Runner, RunRequest, RunSink } from "../../../src/runners/contract.ts";

/** What a sink was told, in order. */
export type Recorded = { logs: [level: string, text: string][]; streamed: string[]; sink: RunSink };

export function recordingSink(onOutput?: (text: string) => void | Promise<void>): Recorded {
  const logs: Recorded["logs"] = [];
  const streamed: string[] = [];
  const sink: RunSink = {
    log: (level, text) => void logs.push([level, text]),
    output: (stream, text) => {
      if (stream === "stream") streamed.push(text);
      return onOutput?.(text);
    },
    progress: () => undefined,
  };
  return { logs, streamed, sink };
}

let runs = 0;

export function linkRequest(target: string, input: unknown, given: Partial<RunRequest> = {}): RunRequest {
  return {
    jobId: "job-1",
    taskIndex: 0,
    runId: `run-${process.pid}-${++runs}`,
    attempt: 1,
    target,
    input,
    options: {},
    limits: {},
    timeoutMs: 20_000,
    directory: null,
    traceparent: null,
    ...given,
  };
}

export type Done = { outcome: Outcome; facts: RunFacts };

export function begin(runner: Runner, target: string, input: unknown, given: Partial<RunRequest> = {}): ActiveRun {
  return runner.start(linkRequest(target, input, given), recordingSink().sink);
}

/** Runs one link to its end. */
export async function runLinkOf(
  runner: Runner,
  target: string,
  input: unknown,
  given: Partial<RunRequest> = {},
): Promise<Done & Recorded> {
  const recorded = recordingSink();
  return { ...(await runner.start(linkRequest(target, input, given), recorded.sink).done), ...recorded };
}

/** The message of a link that failed as `container_error`; anything else fails the test. */
export function containerErrorOf({ outcome }: Done): string {
  if (outcome.kind === "failed" && outcome.error.code === "container_error") return outcome.error.message;
  throw new Error(`expected a container_error, got ${JSON.stringify(outcome)}`);
}

export function outputOf({ outcome }: Done): unknown {
  if (outcome.kind === "succeeded") return outcome.output;
  throw new Error(`expected success, got ${JSON.stringify(outcome)}`);
}

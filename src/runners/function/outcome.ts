import type { Outcome, RunFacts, StopReason } from "../contract.ts";
import type { Work, WorkEnd } from "./work.ts";

/** What a run's end means. A recorded reason to stop wins over whatever the process said or did afterwards. */
export function outcomeOf(end: WorkEnd, stopReason: StopReason | null): Outcome {
  if (stopReason !== null) return stoppedOutcome(stopReason);
  switch (end.by) {
    case "done":
      return doneOutcome(end.json);
    case "failed":
      return { kind: "failed", error: { code: end.code, message: end.message } };
    case "exit":
      return exitOutcome(end.exitCode, end.signal);
    case "breach":
      return { kind: "failed", error: { code: "function_error", message: end.message } };
    case "no_process":
      return { kind: "failed", error: { code: "runner_error", message: end.message } };
    case "stop":
      return { kind: "interrupted" };
    default:
      return end satisfies never;
  }
}

/** What was measured of a run. */
export function factsOf(end: WorkEnd, work: Work): RunFacts {
  const isMeasured = end.by === "done" || end.by === "failed";
  const hasExit = end.by === "exit" || end.by === "stop";
  const rssMb = Math.max(isMeasured ? end.rssMb : 0, work.rssMbSeen);
  return {
    sandbox: "process",
    wallMs: isMeasured ? end.wallMs : work.startedAtMs === 0 ? 0 : work.endedAtMs - work.startedAtMs,
    cpuMs: isMeasured ? end.cpuMs : null,
    maxRssMb: rssMb === 0 ? null : rssMb,
    exitCode: hasExit ? end.exitCode : null,
    signal: hasExit ? end.signal : null,
    limits: { memoryMb: work.options.memoryMbMax },
  };
}

function stoppedOutcome(reason: StopReason): Outcome {
  switch (reason) {
    case "cancelled":
      return { kind: "cancelled" };
    case "timed_out":
      return { kind: "timed_out", message: "Timeout" };
    case "interrupted":
    case "fenced":
      return { kind: "interrupted" };
    default:
      return { kind: "failed", error: reason };
  }
}

function doneOutcome(json: string): Outcome {
  if (json === "") return { kind: "succeeded", output: undefined };
  try {
    return { kind: "succeeded", output: JSON.parse(json), outputJson: json };
  } catch {
    // Only a function that took over its process's built-ins can write such a result.
    return { kind: "failed", error: { code: "function_error", message: "The function's result is not JSON" } };
  }
}

function exitOutcome(exitCode: number | null, signal: string | null): Outcome {
  if (signal !== null) {
    const message = `The function's process was killed by ${signal}`;
    return { kind: "failed", error: { code: "killed_by_signal", message } };
  }
  const message = `The function ended its process with exit code ${exitCode ?? "unknown"}`;
  return { kind: "failed", error: { code: "function_error", message } };
}

import type { Failure, Outcome } from "../runners/contract.ts";
import type { Claimed } from "./claimed.ts";
import type { FinalStatus } from "./status.ts";

/** How a run is recorded. `interrupted` and `lost` are what happened to the machine, the others what the work did. */
export type RunOutcome = "succeeded" | "failed" | "timed_out" | "cancelled" | "interrupted" | "lost";

/** What a run's end means for its task: the end, or another turn. */
export type Ending =
  | { kind: "final"; outcome: RunOutcome; status: FinalStatus; outputJson: string | null; error: Failure | null }
  | { kind: "again"; outcome: RunOutcome; error: Failure | null; delayS: number; charged: boolean };

/** Runs that may be lost with their machine before the task is taken for the cause. */
export const lostRunsMax = 3;
const backoffMaxS = 86_400;

type Counts = Pick<Claimed, "attempt" | "maxAttempts" | "backoffS" | "lostRuns">;

/** What the work did is final unless more attempts were asked for; an interruption is never charged. */
export function endingOf(outcome: Outcome, task: Counts): Ending {
  switch (outcome.kind) {
    case "succeeded":
      return {
        kind: "final",
        outcome: "succeeded",
        status: "succeeded",
        outputJson: outcome.outputJson ?? jsonOf(outcome.output),
        error: null,
      };
    case "failed":
      return failing("failed", outcome.error, task, outcome.output === undefined ? null : jsonOf(outcome.output));
    case "timed_out":
      return failing("timed_out", { code: "timed_out", message: outcome.message }, task, null);
    case "cancelled":
      return {
        kind: "final",
        outcome: "cancelled",
        status: "cancelled",
        outputJson: null,
        error: { code: "cancelled", message: "Cancelled" },
      };
    case "interrupted":
      return { kind: "again", outcome: "interrupted", error: null, delayS: 0, charged: false };
    default:
      return outcome satisfies never;
  }
}

/** A run whose node vanished. */
export function endingOfLost(task: Counts): Ending {
  const error: Failure = { code: "lost", message: `The node that ran it was lost, ${task.lostRuns + 1} times` };
  if (task.lostRuns + 1 >= lostRunsMax)
    return { kind: "final", outcome: "lost", status: "failed", outputJson: null, error };
  return { kind: "again", outcome: "lost", error: null, delayS: 0, charged: false };
}

function failing(outcome: "failed" | "timed_out", error: Failure, task: Counts, outputJson: string | null): Ending {
  if (task.attempt >= task.maxAttempts) return { kind: "final", outcome, status: "failed", outputJson, error };
  const delayS = Math.min(task.backoffS * 2 ** (task.attempt - 1), backoffMaxS);
  return { kind: "again", outcome, error, delayS, charged: true };
}

function jsonOf(value: unknown): string {
  return JSON.stringify(value) ?? "null";
}

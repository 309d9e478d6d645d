import type { Outcome, RunRequest } from "../contract.ts";
import { containerError } from "./container-error.ts";

/**
 * The time that a whole chain has, as it stands in the options of each of its links: `chainMs` together, which is over at `deadlineMs`,
 * a time of the database's clock.
 */
export type ChainTime = { chainMs: number; deadlineMs: number };

/** Milliseconds that the chain of this link still has; infinite when it may take as long as its links do. */
export function chainLeftMs({ options, clockAheadMs = 0 }: RunRequest): number {
  const { deadlineMs } = options;
  return typeof deadlineMs === "number" ? deadlineMs - clockAheadMs - Date.now() : Number.POSITIVE_INFINITY;
}

/** A link that was stopped by its chain's time says so: another time-out for the link would change nothing. */
export function chainTimedOut({ target, options }: RunRequest): Outcome & { kind: "timed_out" } {
  const shown = typeof options.chainMs === "number" ? ` of ${options.chainMs / 1_000} s` : "";
  const { message } = containerError(target, `gave no result before the time${shown} for the whole chain was over`);
  return { kind: "timed_out", message };
}

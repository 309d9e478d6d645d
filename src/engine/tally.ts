import { type Buckets, createBuckets, longSecondsBounds, observe, secondsBounds } from "../buckets.ts";
import { type RunnerName, runnerNames } from "../runners/contract.ts";
import type { RunOutcome } from "./ending.ts";

/** What has happened to the tasks of one runner. */
export type RunnerTally = {
  /** Tasks that were claimed from the queue. */
  claimed: number;
  /** Tasks that were started at once, without the queue. */
  startedAtOnce: number;
  /** How long claims took, those that found nothing too. */
  readonly claimS: Buckets;
  /** From being queued to being started. */
  readonly waitS: Buckets;
  /** The runs that were recorded, by how they ended. */
  readonly outcomes: Record<RunOutcome, number>;
  /** How long those took that a runner measured. */
  readonly runS: Buckets;
};

/** Plain numbers that count what this process has done since it started. They cost whoever adds to them nothing. */
export type Tally = {
  /** Jobs committed here, by surface. */
  readonly accepted: Record<string, number>;
  /** Jobs that were turned away. */
  readonly refused: { queue_full: number; draining: number };
  readonly runners: Readonly<Record<RunnerName, RunnerTally>>;
};

export function createTally(): Tally {
  const runners = Object.fromEntries(runnerNames.map((name) => [name, createRunnerTally()]));
  return {
    accepted: {},
    refused: { queue_full: 0, draining: 0 },
    runners: runners as Record<RunnerName, RunnerTally>,
  };
}

function createRunnerTally(): RunnerTally {
  return {
    claimed: 0,
    startedAtOnce: 0,
    claimS: createBuckets(secondsBounds),
    waitS: createBuckets(longSecondsBounds),
    outcomes: { succeeded: 0, failed: 0, timed_out: 0, cancelled: 0, interrupted: 0, lost: 0 },
    runS: createBuckets(longSecondsBounds),
  };
}

/** A job was committed. Surfaces are few, and none is named by a caller. */
export function countAccepted({ accepted }: Tally, surface: string): void {
  accepted[surface] = (accepted[surface] ?? 0) + 1;
}

/** A run was recorded; `wallMs` null when nobody measured it. */
export function countEnd({ runners }: Tally, runner: RunnerName, outcome: RunOutcome, wallMs: number | null): void {
  const tally = runners[runner];
  tally.outcomes[outcome]++;
  if (wallMs !== null) observe(tally.runS, wallMs / 1_000);
}

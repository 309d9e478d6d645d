import type { Claimed } from "../engine/claimed.ts";
import type { Outcome, RunFacts } from "../runners/contract.ts";

/** Follows runs for whoever collects traces. Calls never throw. */
export type RunTracer = { begin(task: Claimed): RunTrace };

/** One run: `traceparent` is what the work is told, so that what it does is found below its run. */
export type RunTrace = { traceparent: string; end(outcome: Outcome, facts: RunFacts): void };

import type { Submitter } from "../engine/submit.ts";
import type { AttemptTracer } from "../webhooks/attempt-trace.ts";
import type { RunTracer } from "../worker/run-trace.ts";
import { traceAttempts } from "./trace-attempts.ts";
import { traceRuns } from "./trace-runs.ts";
import { traceSubmits } from "./trace-submits.ts";
import { createTracer, type TracerOptions } from "./tracer.ts";

/** What makes one trace of a job: its submit, its waits, its runs and the attempts of its webhooks. */
export type Tracing = {
  submits(submitter: Submitter): Submitter;
  runs: RunTracer;
  attempts: AttemptTracer;
  /** Sends what is left, and gives up after three seconds. */
  close(): Promise<void>;
};

/** Sends traces to a collector. It may be away: the service does not notice. */
export function startTracing(options: TracerOptions): Tracing {
  const tracer = createTracer(options);
  return {
    submits: (submitter) => traceSubmits(submitter, tracer),
    runs: traceRuns(tracer),
    attempts: traceAttempts(tracer),
    close: () => tracer.close(),
  };
}

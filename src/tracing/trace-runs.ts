import type { Claimed } from "../engine/claimed.ts";
import type { Outcome, RunFacts } from "../runners/contract.ts";
import type { RunTracer } from "../worker/run-trace.ts";
import type { SpanFacts, Tracer } from "./tracer.ts";

/** Each run gives two spans below its job's submit: how long it waited, and what came of it. */
export function traceRuns(tracer: Tracer): RunTracer {
  return {
    begin: (task) => {
      const { runner, queuedAtMs, startedAtMs, traceparent: parent } = task;
      const facts = factsOf(task);
      const waited = tracer.start({ name: `wait ${runner}`, kind: "wait", parent, startedMs: queuedAtMs, facts });
      waited.end({}, { endedMs: Math.max(queuedAtMs, startedAtMs) });
      const ran = tracer.start({
        name: `run ${runner}`,
        kind: "work",
        // A job without a trace was submitted before there were any: its first wait begins one.
        parent: parent ?? waited.traceparent,
        startedMs: startedAtMs,
        facts: { ...facts, "messaging.system": "fairlead", "messaging.operation.type": "process" },
      });
      return {
        traceparent: ran.traceparent,
        // The database's clock told the start, and may be ahead of this one.
        end: (outcome, measured) =>
          ran.end(endFacts(outcome, measured), { error: errorOf(outcome), endedMs: Math.max(startedAtMs, Date.now()) }),
      };
    },
  };
}

function factsOf(task: Claimed): SpanFacts {
  return {
    "messaging.destination.name": task.runner,
    "fairlead.job.id": task.jobId,
    "fairlead.run.id": task.runId,
    "fairlead.runner": task.runner,
    "fairlead.target": task.target,
    "fairlead.task": task.index,
    "fairlead.attempt": task.attempt,
  };
}

function endFacts(outcome: Outcome, { sandbox, cpuMs, maxRssMb, exitCode }: RunFacts): SpanFacts {
  return {
    "fairlead.outcome": outcome.kind,
    "fairlead.sandbox": sandbox,
    ...(cpuMs === null ? {} : { "fairlead.cpu_ms": cpuMs }),
    ...(maxRssMb === null ? {} : { "fairlead.max_rss_mb": maxRssMb }),
    ...(exitCode === null ? {} : { "process.exit.code": exitCode }),
    ...(outcome.kind === "failed" ? { "error.type": outcome.error.code } : {}),
  };
}

/** A code, never a message: that is the work's own words, and may hold anything. */
function errorOf(outcome: Outcome): string | undefined {
  if (outcome.kind === "failed") return outcome.error.code;
  return outcome.kind === "timed_out" ? "timed_out" : undefined;
}

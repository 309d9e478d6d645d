import { hostKey } from "../engine/delivery-queue.ts";
import type { AttemptTracer } from "../webhooks/attempt-trace.ts";
import type { PostOutcome } from "../webhooks/post.ts";
import type { SpanFacts, Tracer } from "./tracer.ts";

/** Each attempt to hand over a webhook is a span below its job's submit. Of the URL only the host is told: the rest may hold secrets. */
export function traceAttempts(tracer: Tracer): AttemptTracer {
  return {
    begin: (due) => {
      const span = tracer.start({
        name: "deliver webhook",
        kind: "call",
        parent: due.traceparent,
        facts: {
          "http.request.method": "POST",
          "server.address": hostKey(due.url).replace(/^.*@/, ""),
          "fairlead.job.id": due.jobId,
          "fairlead.delivery.id": due.id,
          "fairlead.attempt": due.attempt,
        },
      });
      return {
        traceparent: span.traceparent,
        end: (outcome) => span.end(factsOf(outcome), { error: errorOf(outcome) }),
      };
    },
  };
}

function factsOf(outcome: PostOutcome): SpanFacts {
  const facts = { "fairlead.outcome": outcome.kind };
  return outcome.kind === "answered" ? { ...facts, "http.response.status_code": outcome.status } : facts;
}

function errorOf(outcome: PostOutcome): string | undefined {
  if (outcome.kind === "answered")
    return outcome.status >= 200 && outcome.status < 300 ? undefined : String(outcome.status);
  return outcome.kind === "interrupted" ? undefined : outcome.kind;
}

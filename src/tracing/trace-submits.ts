import type { Receipt, Submission } from "../engine/submission.ts";
import type { Submitter } from "../engine/submit.ts";
import { EngineError } from "../errors.ts";
import type { Span, Tracer } from "./tracer.ts";

/**
 * A submitter that begins the span of each submit, below the caller's when it named one. The job carries that span from
 * here on: what becomes of it is found below its submit.
 */
export function traceSubmits(submitter: Submitter, tracer: Tracer): Submitter {
  return {
    async submit(submission) {
      const span = begin(tracer, submission);
      try {
        const receipt = await submitter.submit({ ...submission, traceparent: span.traceparent });
        end(span, receipt);
        return receipt;
      } catch (fault) {
        fail(span, fault);
        throw fault;
      }
    },
    async submitTogether(submissions) {
      const spans = submissions.map((submission) => begin(tracer, submission));
      const traced = submissions.map((submission, at) => withSpan(submission, spans[at]));
      try {
        const receipts = await submitter.submitTogether(traced);
        for (const [at, receipt] of receipts.entries()) end(spans[at], receipt);
        return receipts;
      } catch (fault) {
        for (const span of spans) fail(span, fault);
        throw fault;
      }
    },
    idle: () => submitter.idle(),
  };
}

function begin(tracer: Tracer, submission: Submission): Span {
  const [first] = submission.tasks;
  return tracer.start({
    name: `submit ${submission.surface}`,
    kind: "send",
    parent: submission.traceparent ?? null,
    facts: {
      "messaging.system": "fairlead",
      "messaging.operation.type": "send",
      "messaging.destination.name": first?.runner ?? "",
      "fairlead.surface": submission.surface,
      "fairlead.runner": first?.runner ?? "",
      "fairlead.target": submission.tasks.map(({ target }) => target).join(" "),
      "fairlead.priority": submission.priority,
    },
  });
}

function withSpan(submission: Submission, span: Span | undefined): Submission {
  return span === undefined ? submission : { ...submission, traceparent: span.traceparent };
}

function end(span: Span | undefined, { id, existing }: Receipt): void {
  span?.end({ "fairlead.job.id": id, "fairlead.job.existing": existing });
}

/** Refusals say their code; what a fault says may be about the service itself. */
function fail(span: Span, fault: unknown): void {
  const error = fault instanceof EngineError ? fault.code : "internal";
  span.end({ "error.type": error }, { error });
}

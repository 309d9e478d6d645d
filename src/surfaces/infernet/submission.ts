import type { Submission } from "../../engine/submission.ts";
import type { TraceContext } from "../../http/trace-context.ts";
import type { JobRequest } from "./wire.ts";

/** Who asks, and the trace that the request belongs to. */
type Caller = TraceContext & { client: string };

const streamMs = 60_000;

/** A chain: one task a container, in order. */
export function submissionOf(job: JobRequest, caller: Caller, linkMs: number): Submission & { id: string } {
  return {
    id: crypto.randomUUID(),
    surface: "infernet",
    ...caller,
    priority: 1,
    inputJson: job.dataJson,
    tasks: job.containers.map((target, index) => ({
      runner: "container",
      target,
      timeoutMs: linkMs,
      maxAttempts: 1,
      backoffS: 1,
      ...(job.requiresProof && index === job.containers.length - 1 ? { options: { requiresProof: true } } : {}),
    })),
  };
}

/** A stream is one container's: the first. */
export function streamSubmissionOf(job: JobRequest, caller: Caller, linkMs: number): Submission & { id: string } {
  const submission = submissionOf(
    { ...job, containers: job.containers.slice(0, 1) },
    caller,
    Math.min(linkMs, streamMs),
  );
  return { ...submission, tasks: submission.tasks.map((task) => ({ ...task, options: { stream: true } })) };
}

import type { JobError, JobStatus } from "./shapes.ts";

type EventBodies = {
  /** `reason` and `error` say why a task is queued again. */
  status: { status: JobStatus; attempt?: number; reason?: string; error?: JobError; delay_s?: number };
  output: { stream: "stdout" | "stderr" | "stream"; text: string };
  log: { level: "debug" | "info" | "warn" | "error"; text: string };
  /** `fraction` in 0..1. */
  progress: { fraction: number; text?: string };
  file: { path?: string };
  /** A large output is not repeated here: `truncated`, and it stands in the job. */
  result: { output?: unknown; truncated?: boolean; chars?: number };
  /** The last event, unless the job is retried later. */
  completed: { status: JobStatus; error?: JobError };
};

/** One line of a job's history. `seq` counts from 1 without gaps; `task` is the index of the task it belongs to. */
export type JobEvent = {
  [K in keyof EventBodies]: { seq: number; at: string; task: number; kind: K } & EventBodies[K];
}[keyof EventBodies];

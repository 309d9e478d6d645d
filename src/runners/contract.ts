import type { Limits } from "./limits.ts";

/** How a task is executed. */
export const runnerNames = ["function", "script", "container", "automation"] as const;
export type RunnerName = (typeof runnerNames)[number];

/** Why a task failed, as stored on the task and shown to callers. */
export const failureCodes = [
  "sandbox_unavailable",
  "exit_nonzero",
  "killed_by_signal",
  "timed_out",
  "out_of_memory",
  "output_limit",
  "file_limit",
  "cancelled",
  "lost",
  "invalid",
  "container_error",
  "function_error",
  "automation_error",
  "runner_error",
] as const;
export type FailureCode = (typeof failureCodes)[number];
export type Failure = { code: FailureCode; message: string };

/** Why a run is being stopped by us. Recorded before the first signal is sent; the first reason wins. */
export type StopReason = "cancelled" | "timed_out" | "interrupted" | "fenced" | Failure;

/** How a run ended. Expected facts about the work, never thrown. `output` is JSON-serialisable; `outputJson` is the same as text, where it is at hand. */
export type Outcome =
  | { kind: "succeeded"; output: unknown; outputJson?: string }
  | { kind: "failed"; error: Failure; output?: unknown }
  | { kind: "timed_out"; message: string }
  | { kind: "cancelled" }
  | { kind: "interrupted" };

/** What was measured while it ran. Times in milliseconds, memory in MiB; null where it cannot be known. */
export type RunFacts = {
  sandbox: string;
  wallMs: number;
  cpuMs: number | null;
  maxRssMb: number | null;
  exitCode: number | null;
  signal: string | null;
  limits: Partial<Limits> | null;
};

/** One execution of one task, handed to a runner. */
export type RunRequest = {
  jobId: string;
  taskIndex: number;
  runId: string;
  /** 1 for the first execution that counts. */
  attempt: number;
  /** What to run, in the runner's words: function name, container id, automation name; empty for a script. */
  target: string;
  input: unknown;
  /** `input` as JSON text, where it is at hand: spares a runner that passes it on from writing it again. */
  inputJson?: string;
  /** Everything else the runner was given at submit (script text, stream mode, container options …). */
  options: Record<string, unknown>;
  limits: Partial<Limits>;
  timeoutMs: number;
  /** Directory of the job's payload, when it has one. */
  directory: string | null;
  /** W3C traceparent for what the work calls, when its job belongs to a trace. */
  traceparent: string | null;
  /** The database's clock less this machine's, in ms; 0 unless said. Times that others wrote down are the database's. */
  clockAheadMs?: number;
};

/**
 * Where a run reports while it works. Calls never throw. When `output` returns a promise the sink asks for
 * backpressure: stop reading until it settles.
 */
export type RunSink = {
  log(level: "debug" | "info" | "warn" | "error", text: string): void;
  output(stream: "stdout" | "stderr" | "stream", text: string): void | Promise<void>;
  /** `fraction` in 0..1. */
  progress(fraction: number, text?: string): void;
};

/** A run that was started. `done` never rejects; `stop` may be called any number of times, the first reason counts. */
export type ActiveRun = {
  done: Promise<{ outcome: Outcome; facts: RunFacts }>;
  stop(reason: StopReason): void;
};

/** Executes tasks of one kind. `start` returns at once; faults of the runner itself end as `runner_error`. */
export type Runner = {
  readonly name: RunnerName;
  start(request: RunRequest, sink: RunSink): ActiveRun;
  /** Stops what is warm. Every run has ended before this is called. */
  close(): Promise<void>;
};

import type { RunnerName } from "../runners/contract.ts";
import type { Unwritten } from "./unwritten.ts";

/** A link of a chain as it waits for the one before it, as it stands in its row. */
export type Link = {
  runner: RunnerName;
  target: string;
  turn: number;
  timeout_ms: number;
  max_attempts: number;
  backoff_s: number;
  options: string | null;
  limits: string | null;
  input: string | null;
  requires: string | null;
  need: string | null;
};

/** `isQuiet`: the job has neither a webhook nor a concurrency key. */
export type Ahead = { link: Link; isQuiet: boolean };

/** A task that this node has begun: everything needed to run it and to report it. JSON fields are kept as text. */
export type Claimed = {
  jobId: string;
  index: number;
  runner: RunnerName;
  target: string;
  turn: number;
  runId: string;
  attempt: number;
  maxAttempts: number;
  backoffS: number;
  lostRuns: number;
  priority: number;
  timeoutMs: number;
  inputJson: string;
  optionsJson: string | null;
  limitsJson: string | null;
  payloadId: number | null;
  traceparent: string | null;
  surface: string;
  /** How many tasks the job has. */
  taskCount: number;
  /** The last task of a job without webhook and concurrency key: it ends with one statement. */
  plain: boolean;
  /** The link that follows on this one, where it is known already. */
  ahead?: Ahead;
  queuedAtMs: number;
  startedAtMs: number;
  /** The job's rows, as long as they may not be in the database. */
  unwritten?: Unwritten;
};

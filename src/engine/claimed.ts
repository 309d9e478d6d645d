import type { RunnerName } from "../runners/contract.ts";
import type { Unwritten } from "./unwritten.ts";

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
  /** Ends with one statement: no chain, no webhook, no concurrency key. */
  plain: boolean;
  queuedAtMs: number;
  startedAtMs: number;
  /** The job's rows, as long as they may not be in the database. */
  unwritten?: Unwritten;
};

import type { Failure, RunnerName } from "../runners/contract.ts";
import type { StoredFacts } from "./facts.ts";
import type { Status } from "./status.ts";

/** A run's facts as readers see them. */
export type RunView = { run_id: string; node: string; attempt: number } & Partial<StoredFacts>;

/** A task as readers see it. `output` and `error` are null until there are some. */
export type TaskView = {
  index: number;
  runner: RunnerName;
  target: string;
  status: Status;
  attempts: number;
  output: unknown;
  error: Failure | null;
  run: RunView | null;
};

/** A job as readers see it, whatever the surface it came in by: the shape of `/api/v1/jobs/{id}` without its links. */
export type JobView = {
  id: string;
  surface: string;
  runner: RunnerName;
  status: Status;
  priority: number;
  client: string;
  tags: string[];
  created_at: string;
  queued_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  attempts: number;
  max_attempts: number;
  held: boolean;
  input: unknown;
  result: unknown;
  error: Failure | null;
  tasks: TaskView[];
  payload: { id: number; files: number; bytes: number; cleaned: boolean } | null;
  dedup_key: string | null;
  webhook: { url: string; state: "none" | "pending" | "delivered" | "failed" } | null;
  details: Record<string, unknown>;
  last_seq: number;
};

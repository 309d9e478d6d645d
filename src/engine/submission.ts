import type { RunnerName } from "../runners/contract.ts";
import type { Requires } from "./needs.ts";

/** One task as it was asked for. */
export type TaskSpec = {
  runner: RunnerName;
  target: string;
  timeoutMs: number;
  maxAttempts: number;
  /** Seconds before the second attempt, doubled each time after. */
  backoffS: number;
  limits?: Record<string, unknown>;
  options?: Record<string, unknown>;
  /** What it asks of the node that runs it. */
  requires?: Requires;
};

/** Who is told about a job, and how. `sealed` holds encrypted headers; `kind` chooses the body that is sent. */
export type WebhookSpec = { url: string; events: string[]; sealed?: string; kind: string; [more: string]: unknown };

/** What a surface hands to the engine: checked, in the engine's words. */
export type Submission = {
  /** Chosen by the client, or absent for a UUIDv7. */
  id?: string;
  surface: string;
  client: string;
  priority: number;
  tags?: string[];
  /** The input as JSON text, kept byte for byte. */
  inputJson: string;
  /** One task, or the links of a chain in order. */
  tasks: TaskSpec[];
  /** Written but not queued until it is released. */
  held?: boolean;
  runAt?: Date;
  dedup?: { key: string; while: "active" | number };
  idempotencyKey?: string;
  /** SHA-256 of what was asked; the same id or key with another fingerprint is refused. */
  fingerprint?: string;
  concurrency?: { key: string; max: number };
  /** The files that came with it, in place under this id. Their row is written with the job. */
  payload?: { id: number; files: number; bytes: number; manifestJson: string };
  webhook?: WebhookSpec;
  details?: Record<string, unknown>;
  traceparent?: string;
  /**
   * Its caller hears nothing of it before its end: the commit need not wait for the disk, since the one of the end does.
   * Whatever happens to this process, the job is there; should the database's machine fail in between, neither is.
   */
  isToldAtEnd?: true;
};

/** A job as it was committed: when, and the run that it began with at once, if it did. */
export type Accepted = { at: string; run: { runId: string; nodeId: string } | null };

/** `existing` says that the id, the idempotency key or the dedup key already had a job, which is the one returned. */
export type Receipt =
  | { id: string; existing: false; accepted: Accepted }
  | { id: string; existing: true; by: "id" | "idempotency" | "dedup" };

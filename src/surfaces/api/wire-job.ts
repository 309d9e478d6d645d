import { type Static, Type } from "@sinclair/typebox";
import { statuses } from "../../engine/status.ts";
import { failureCodes, runnerNames } from "../../runners/contract.ts";
import { anything, moment, nullable, oneOf, reference } from "./wire.ts";

const count = Type.Integer({ minimum: 0 });

export const failureModel = Type.Object({ code: oneOf(failureCodes), message: Type.String() });

const factModels = {
  sandbox: Type.Optional(Type.String({ description: "The isolation in force" })),
  wait_ms: Type.Optional(Type.Number()),
  wall_ms: Type.Optional(Type.Number()),
  cpu_ms: Type.Optional(nullable(Type.Number())),
  max_rss_mb: Type.Optional(nullable(Type.Number())),
  exit_code: Type.Optional(nullable(Type.Integer())),
  signal: Type.Optional(nullable(Type.String())),
  limits: Type.Optional(anything("The limits in force")),
};

const runModel = Type.Object({ run_id: Type.String(), node: Type.String(), attempt: count, ...factModels });

const taskModel = Type.Object({
  index: count,
  runner: oneOf(runnerNames),
  target: Type.String(),
  status: oneOf(statuses),
  attempts: count,
  output: anything("What it gave"),
  error: nullable(failureModel),
  run: nullable(runModel),
});

export const waitingModel = Type.Object({
  position: nullable(
    Type.Integer({
      minimum: 1,
      description: "Place in its queue; null when it is not in line, or beyond 10,000 (100 in lists)",
    }),
  ),
  reason: Type.String({
    description:
      "held · delayed until … · concurrency key full · paused · maintenance · no free slot · no node with … · no node in region … · no healthy node · about to start",
  }),
});

/** A job, the same wherever it is shown: answers, lists, streams' ends and webhooks. */
export const jobModel = Type.Object({
  id: Type.String(),
  surface: Type.String({ description: "The protocol it came in by" }),
  runner: oneOf(runnerNames),
  status: oneOf(statuses),
  priority: Type.Integer(),
  client: Type.String({ description: "Who submitted it: `key:<label>`, `ip:<address>`, `jwt:<sub>`" }),
  tags: Type.Array(Type.String()),
  held: Type.Boolean(),
  created_at: moment,
  queued_at: nullable(moment),
  started_at: nullable(moment),
  finished_at: nullable(moment),
  attempts: count,
  max_attempts: count,
  input: anything("What was asked with"),
  result: anything("Output of the last task, once it has succeeded"),
  error: nullable(failureModel),
  tasks: Type.Array(taskModel),
  payload: nullable(Type.Object({ id: Type.Integer(), files: count, bytes: count, cleaned: Type.Boolean() })),
  dedup_key: nullable(Type.String()),
  webhook: nullable(Type.Object({ url: Type.String(), state: oneOf(["none", "pending", "delivered", "failed"]) })),
  last_event: Type.Integer({ minimum: 0, description: "Number of the newest event" }),
  waiting: Type.Optional(waitingModel),
  links: Type.Object({ self: Type.String(), events: Type.String(), files: Type.String() }),
});
export type Job = Static<typeof jobModel>;

export const jobListModel = Type.Object({
  jobs: Type.Array(reference<Job>("Job")),
  next: nullable(Type.String({ description: "Cursor of the next page; null at the end" })),
});

export const runListModel = Type.Object({
  runs: Type.Array(
    Type.Object({
      run_id: Type.String(),
      task: count,
      turn: Type.Integer({ minimum: 1 }),
      attempt: count,
      node: Type.String(),
      outcome: nullable(oneOf(["succeeded", "failed", "timed_out", "cancelled", "interrupted", "lost"])),
      error: nullable(failureModel),
      queued_at: nullable(moment),
      started_at: nullable(moment),
      finished_at: nullable(moment),
      ...factModels,
    }),
  ),
});

export const fileListModel = Type.Object({
  files: Type.Array(
    Type.Object({
      path: Type.String(),
      bytes: count,
      sha256: nullable(Type.String({ description: "Hex; null while a run may change the file" })),
      media_type: Type.String(),
      mode: Type.Integer(),
      modified_at: moment,
      link: Type.String(),
    }),
  ),
  directories: Type.Array(Type.Object({ path: Type.String(), mode: Type.Integer() })),
  links: Type.Array(Type.Object({ path: Type.String(), target: Type.String() })),
  skipped: Type.Array(Type.Object({ path: Type.String(), reason: Type.String() })),
  bytes: count,
  zip: Type.String({ description: "Where all of them are one zip" }),
});
export type FileList = Static<typeof fileListModel>;

export const tokenModel = Type.Object({ token: Type.String(), expires_at: moment });

/** One line of a job's history, as `data:` of the stream. More members by kind. */
export const eventModel = Type.Object(
  {
    seq: Type.Integer({ minimum: 1 }),
    at: moment,
    task: count,
    kind: oneOf(["status", "output", "log", "progress", "file", "result", "completed"]),
  },
  { additionalProperties: true },
);

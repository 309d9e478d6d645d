import { Type } from "@sinclair/typebox";
import { anything, moment, nullable, oneOf, reference } from "./wire.ts";

const count = Type.Integer({ minimum: 0 });

export const problemModel = Type.Object(
  {
    type: Type.String({ description: "Where the kind of problem is explained" }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.Optional(Type.String()),
    code: Type.String({ description: "One of a closed list" }),
    errors: Type.Optional(
      Type.Array(Type.Object({ pointer: Type.String({ description: "RFC 6901" }), detail: Type.String() })),
    ),
    request_id: Type.Optional(Type.String()),
    retryable: Type.Optional(Type.Boolean()),
  },
  { description: "RFC 9457" },
);

export const batchAnswerModel = Type.Array(
  Type.Object({
    job: Type.Optional(reference("Job")),
    error: Type.Optional(reference("Problem")),
    deduplicated: Type.Optional(Type.Boolean({ description: "The job of another submission holds the dedup key" })),
  }),
  { description: "One entry an item, in order: `job` or `error`" },
);

export const deliveryModel = Type.Object({
  id: Type.String({ description: "The `webhook-id`, the same over all tries" }),
  job_id: Type.String(),
  event: Type.String(),
  url: Type.String(),
  state: oneOf(["pending", "delivered", "failed"]),
  created_at: moment,
  next_at: nullable(moment),
  delivered_at: nullable(moment),
  attempts: Type.Array(
    Type.Object({
      at: moment,
      status: nullable(Type.Integer()),
      duration_ms: Type.Number(),
      response: nullable(Type.String({ description: "The first 1,000 characters of the answer" })),
      error: nullable(Type.String()),
    }),
  ),
});
export const deliveryListModel = Type.Object({ deliveries: Type.Array(reference("Delivery")) });

const slotsModel = Type.Object({ used: count, limit: count }, { additionalProperties: true });

export const nodeModel = Type.Object({
  id: Type.String(),
  version: Type.String(),
  region: Type.String(),
  state: oneOf(["ready", "unhealthy", "maintenance", "draining", "lost", "stopped"]),
  complaint: nullable(Type.String({ description: "Why it takes no work though it should" })),
  slots: Type.Record(Type.String(), slotsModel, { description: "By runner" }),
  capabilities: Type.Object({}, { additionalProperties: true }),
  running: count,
  started_at: moment,
  renewed_at: moment,
  last_claim_at: nullable(moment),
});
export const nodeListModel = Type.Object({ nodes: Type.Array(reference("Node")) });

export const queueModel = Type.Object({
  name: Type.String(),
  paused: Type.Boolean(),
  paused_by: nullable(Type.String()),
  paused_at: nullable(moment),
  backlog: Type.Integer({ minimum: 0, description: "Tasks that could run now, had they a slot" }),
  delayed: count,
  parked: Type.Integer({ minimum: 0, description: "Tasks whose concurrency key is full" }),
  is_capped: Type.Boolean({ description: "More wait than were counted" }),
  running: count,
  oldest_waiting_at: nullable(moment),
  oldest_waiting_s: nullable(Type.Number()),
  last_claim_at: nullable(moment),
  slots: slotsModel,
});
export const queueListModel = Type.Object({ queues: Type.Array(reference("Queue")) });

export const functionListModel = Type.Object({
  functions: Type.Array(
    Type.Object({
      name: Type.String(),
      description: nullable(Type.String()),
      params: Type.Object({}, { additionalProperties: true }),
      streams: Type.Boolean(),
      timeout: Type.Number({ description: "Seconds" }),
      max_attempts: count,
    }),
  ),
  problems: Type.Array(Type.Object({ file: Type.String(), message: Type.String() })),
});

export const containerListModel = Type.Object({
  containers: Type.Array(
    Type.Object({
      id: Type.String(),
      description: Type.String(),
      external: Type.Boolean({ description: "May begin a chain" }),
      image: Type.String(),
      state: nullable(Type.String({ description: "What its image is doing on this node" })),
    }),
  ),
  problems: Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), {
    description: "Of the containers file since it was last good; the last good one stays in use",
  }),
});

export const automationListModel = Type.Object({
  automations: Type.Array(
    Type.Object({ name: Type.String(), description: nullable(Type.String()), parameters: anything("Lists by name") }),
  ),
  problems: Type.Array(Type.Object({ name: Type.String(), message: Type.String() })),
});

import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  index,
  integer,
  pgTable,
  // biome-ignore lint/suspicious/noDeprecatedImports: an old overload is deprecated, not the one used here
  primaryKey,
  serial,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import { jsonText, key } from "./columns.ts";

const at = (name: string) => timestamp(name, { withTimezone: true, mode: "date", precision: 3 });

/** One accepted submission. Its status lives here and nowhere else. */
export const jobs = pgTable(
  "jobs",
  {
    id: key("id").primaryKey(),
    surface: text("surface").notNull(),
    client: text("client").notNull(),
    runner: text("runner").notNull(),
    status: text("status").notNull(),
    priority: integer("priority").notNull(),
    tags: text("tags")
      .array()
      .notNull()
      .default(sql`'{}'`),
    /** Every task's target, for search and lists. */
    name: text("name").notNull(),
    input: jsonText("input").notNull(),
    held: boolean("held").notNull().default(false),
    createdAt: at("created_at").notNull().defaultNow(),
    queuedAt: at("queued_at"),
    startedAt: at("started_at"),
    finishedAt: at("finished_at"),
    /** Number of the newest event. */
    lastSeq: integer("last_seq").notNull().default(0),
    dedupKey: key("dedup_key"),
    dedupUntil: at("dedup_until"),
    idempotencyKey: key("idempotency_key"),
    /** SHA-256 of what was asked, to tell a repeat from a clash. */
    fingerprint: key("fingerprint"),
    concurrencyKey: key("concurrency_key"),
    concurrencyMax: integer("concurrency_max"),
    payloadId: integer("payload_id"),
    /** `{url, events, sealed, kind …}`: who is told, without readable secrets. */
    webhook: jsonText("webhook"),
    /** What a surface must remember of its own protocol. */
    details: jsonText("details"),
    traceparent: text("traceparent"),
  },
  (table) => [
    index("jobs_by_age").on(table.createdAt, table.id),
    index("jobs_unfinished")
      .on(table.status, table.createdAt)
      .where(sql`finished_at IS NULL`),
    index("jobs_by_client")
      .on(table.surface, table.client, table.createdAt)
      .where(sql`surface = 'infernet'`),
    index("jobs_by_dedup")
      .on(table.dedupKey)
      .where(sql`dedup_key IS NOT NULL`),
    index("jobs_by_concurrency")
      .on(table.concurrencyKey, table.status, table.priority, table.queuedAt)
      .where(sql`concurrency_key IS NOT NULL AND finished_at IS NULL`),
    uniqueIndex("jobs_by_idempotency")
      .on(table.client, table.idempotencyKey)
      .where(sql`idempotency_key IS NOT NULL`),
    uniqueIndex("jobs_by_payload")
      .on(table.payloadId)
      .where(sql`payload_id IS NOT NULL`),
  ],
);

/** One unit of work that a runner executes; a chain has one per link. */
export const tasks = pgTable(
  "tasks",
  {
    jobId: key("job_id").notNull(),
    index: smallint("index").notNull(),
    runner: text("runner").notNull(),
    target: text("target").notNull(),
    status: text("status").notNull(),
    priority: integer("priority").notNull(),
    /** How often the task has been put in the queue; a message of another turn is stale. */
    turn: integer("turn").notNull().default(1),
    /** Runs that count towards `max_attempts`. */
    attempt: integer("attempt").notNull().default(0),
    maxAttempts: integer("max_attempts").notNull().default(1),
    backoffS: integer("backoff_s").notNull().default(1),
    lostRuns: smallint("lost_runs").notNull().default(0),
    timeoutMs: integer("timeout_ms").notNull(),
    limits: jsonText("limits"),
    options: jsonText("options"),
    requires: jsonText("requires"),
    /** Set where the task does not simply get the job's input or the previous task's output. */
    input: jsonText("input"),
    output: jsonText("output"),
    error: jsonText("error"),
    queuedAt: at("queued_at"),
    notBefore: at("not_before"),
    startedAt: at("started_at"),
    finishedAt: at("finished_at"),
    /** Names the one execution that may report; null when none runs. */
    runId: uuid("run_id"),
    nodeId: key("node_id"),
    /** The need-queue it waits in; null for the common one of its runner. */
    need: key("need"),
    /** Waits for its job's concurrency key, without a message in the queue. */
    parked: boolean("parked").notNull().default(false),
    /** Set when a running task was asked to stop. */
    stopReason: text("stop_reason"),
  },
  (table) => [
    primaryKey({ columns: [table.jobId, table.index] }),
    index("tasks_running")
      .on(table.nodeId)
      .where(sql`status = 'running'`),
    index("tasks_queued")
      .on(table.runner, table.priority, table.queuedAt)
      .where(sql`status = 'queued' AND queued_at IS NOT NULL`),
    index("tasks_by_need")
      .on(table.need)
      .where(sql`need IS NOT NULL AND finished_at IS NULL`),
  ],
);

/** One execution that has ended. Every one is kept whole. */
export const runs = pgTable(
  "runs",
  {
    runId: uuid("run_id").notNull(),
    jobId: key("job_id").notNull(),
    taskIndex: smallint("task_index").notNull(),
    turn: integer("turn").notNull(),
    attempt: integer("attempt").notNull(),
    nodeId: key("node_id").notNull(),
    outcome: text("outcome").notNull(),
    error: jsonText("error"),
    facts: jsonText("facts"),
    queuedAt: at("queued_at"),
    startedAt: at("started_at"),
    finishedAt: at("finished_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.jobId, table.taskIndex, table.turn] })],
);

/**
 * Lines of a job's history that were written together, numbered per job from 1 without gaps. A row holds `count` of them,
 * the last one numbered `seq`: rows cost more than lines. Partitioned by day in the migration.
 */
export const events = pgTable(
  "events",
  {
    jobId: key("job_id").notNull(),
    seq: integer("seq").notNull(),
    count: integer("count").notNull(),
    runId: uuid("run_id"),
    at: at("at").notNull(),
    /** Array of `{k: kind, t: task, d: data, at?}`; without `at` it is the row's. */
    lines: jsonText("lines").notNull(),
  },
  (table) => [index("events_by_job").on(table.jobId, table.seq)],
);

/** The files of a job. */
export const payloads = pgTable("payloads", {
  id: serial("id").primaryKey(),
  jobId: key("job_id"),
  files: integer("files").notNull().default(0),
  bytes: bigint("bytes", { mode: "number" }).notNull().default(0),
  /** Array of `{path, bytes, sha256, mediaType, mode}`; after a run, what the run left. */
  manifest: jsonText("manifest"),
  nodeId: key("node_id"),
  createdAt: at("created_at").notNull().defaultNow(),
  cleanedAt: at("cleaned_at"),
});

/** One call to be handed to a receiver, with its attempts. The id is the `webhook-id`, stable over retries. */
export const deliveries = pgTable(
  "deliveries",
  {
    id: key("id").primaryKey(),
    jobId: key("job_id").notNull(),
    event: text("event").notNull(),
    /** Deliveries with the same lane are handed over one after another, oldest first. */
    lane: key("lane"),
    url: text("url").notNull(),
    /** Request headers, encrypted. */
    sealed: text("sealed"),
    contentType: text("content_type").notNull(),
    body: text("body").notNull(),
    state: text("state").notNull(),
    attempt: integer("attempt").notNull().default(0),
    nextAt: at("next_at"),
    claimedUntil: at("claimed_until"),
    /** Array of `{at, status, duration_ms, response, error}`, oldest first. */
    attempts: jsonText("attempts").notNull().default("[]"),
    createdAt: at("created_at").notNull().defaultNow(),
    deliveredAt: at("delivered_at"),
  },
  (table) => [
    index("deliveries_due")
      .on(table.nextAt)
      .where(sql`state = 'pending'`),
    index("deliveries_by_job").on(table.jobId),
    index("deliveries_by_lane")
      .on(table.lane, table.createdAt)
      .where(sql`state = 'pending' AND lane IS NOT NULL`),
  ],
);

/** One running process. */
export const nodes = pgTable("nodes", {
  id: key("id").primaryKey(),
  bootId: uuid("boot_id").notNull(),
  version: text("version").notNull(),
  region: text("region").notNull().default(""),
  /** What it can do: functions, containers, chromium, sandbox tier, tags. */
  capabilities: jsonText("capabilities").notNull().default("{}"),
  /** `{function: {used, limit}, …}` */
  slots: jsonText("slots").notNull().default("{}"),
  maintenance: boolean("maintenance").notNull().default(false),
  draining: boolean("draining").notNull().default(false),
  startedAt: at("started_at").notNull().defaultNow(),
  renewedAt: at("renewed_at").notNull().defaultNow(),
  leaseUntil: at("lease_until").notNull(),
  lastClaimAt: at("last_claim_at"),
  /** Why it takes no work though it should; null while it is well. */
  complaint: text("complaint"),
});

/** What waits that not every node can run: each need has a queue of its own, from which those claim that fulfil it. */
export const needs = pgTable("needs", {
  queue: key("queue").primaryKey(),
  runner: text("runner").notNull(),
  /** Null: whatever that runner runs. */
  target: text("target"),
  /** `{region?, tags?}`; null: nothing of the node itself. */
  requires: jsonText("requires"),
  createdAt: at("created_at").notNull().defaultNow(),
  usedAt: at("used_at").notNull().defaultNow(),
});

/** A queue that somebody paused. */
export const pauses = pgTable("pauses", {
  queue: key("queue").primaryKey(),
  by: text("by").notNull(),
  at: at("at").notNull().defaultNow(),
});

/**
 * Ids that were given to payloads of which no row is committed yet. A row that stays is an upload that broke off, whose files are
 * to be removed; once that has begun, `sweptAt` keeps a submission that was only late from committing.
 */
export const uploads = pgTable("uploads", {
  payloadId: integer("payload_id").primaryKey(),
  nodeId: key("node_id").notNull(),
  createdAt: at("created_at").notNull().defaultNow(),
  sweptAt: at("swept_at"),
});

/** What all nodes of this database must know and nobody else, where no setting says it. */
export const secrets = pgTable("secrets", {
  name: key("name").primaryKey(),
  /** base64url */
  value: text("value").notNull(),
  createdAt: at("created_at").notNull().defaultNow(),
});

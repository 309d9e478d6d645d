CREATE TABLE "deliveries" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"job_id" text COLLATE "C" NOT NULL,
	"event" text NOT NULL,
	"lane" text COLLATE "C",
	"url" text NOT NULL,
	"sealed" text,
	"content_type" text NOT NULL,
	"body" text NOT NULL,
	"state" text NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp (3) with time zone,
	"claimed_until" timestamp (3) with time zone,
	"attempts" json DEFAULT '[]' NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"delivered_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "events" (
	"job_id" text COLLATE "C" NOT NULL,
	"seq" integer NOT NULL,
	"count" integer NOT NULL,
	"run_id" uuid,
	"at" timestamp (3) with time zone NOT NULL,
	"lines" json NOT NULL
) PARTITION BY RANGE ("at") /* by hand: drizzle-kit has no words for partitions, see src/engine/partitions.ts */;
--> statement-breakpoint
CREATE TABLE "jobs" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"surface" text NOT NULL,
	"client" text NOT NULL,
	"runner" text NOT NULL,
	"status" text NOT NULL,
	"priority" integer NOT NULL,
	"tags" text[] DEFAULT '{}' NOT NULL,
	"name" text NOT NULL,
	"input" json NOT NULL,
	"held" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"queued_at" timestamp (3) with time zone,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	"last_seq" integer DEFAULT 0 NOT NULL,
	"dedup_key" text COLLATE "C",
	"dedup_until" timestamp (3) with time zone,
	"idempotency_key" text COLLATE "C",
	"fingerprint" text COLLATE "C",
	"concurrency_key" text COLLATE "C",
	"concurrency_max" integer,
	"payload_id" integer,
	"webhook" json,
	"details" json,
	"traceparent" text
) WITH (fillfactor = 80);
--> statement-breakpoint
CREATE TABLE "nodes" (
	"id" text COLLATE "C" PRIMARY KEY NOT NULL,
	"boot_id" uuid NOT NULL,
	"version" text NOT NULL,
	"region" text DEFAULT '' NOT NULL,
	"capabilities" json DEFAULT '{}' NOT NULL,
	"slots" json DEFAULT '{}' NOT NULL,
	"maintenance" boolean DEFAULT false NOT NULL,
	"draining" boolean DEFAULT false NOT NULL,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"renewed_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"lease_until" timestamp (3) with time zone NOT NULL,
	"last_claim_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "pauses" (
	"queue" text COLLATE "C" PRIMARY KEY NOT NULL,
	"by" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "payloads" (
	"id" serial PRIMARY KEY NOT NULL,
	"job_id" text COLLATE "C",
	"files" integer DEFAULT 0 NOT NULL,
	"bytes" bigint DEFAULT 0 NOT NULL,
	"manifest" json,
	"node_id" text COLLATE "C",
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"cleaned_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "runs" (
	"run_id" uuid NOT NULL,
	"job_id" text COLLATE "C" NOT NULL,
	"task_index" smallint NOT NULL,
	"turn" integer NOT NULL,
	"attempt" integer NOT NULL,
	"node_id" text COLLATE "C" NOT NULL,
	"outcome" text NOT NULL,
	"error" json,
	"facts" json,
	"queued_at" timestamp (3) with time zone,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "runs_job_id_task_index_turn_pk" PRIMARY KEY("job_id","task_index","turn")
);
--> statement-breakpoint
CREATE TABLE "tasks" (
	"job_id" text COLLATE "C" NOT NULL,
	"index" smallint NOT NULL,
	"runner" text NOT NULL,
	"target" text NOT NULL,
	"status" text NOT NULL,
	"priority" integer NOT NULL,
	"turn" integer DEFAULT 1 NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"max_attempts" integer DEFAULT 1 NOT NULL,
	"backoff_s" integer DEFAULT 1 NOT NULL,
	"lost_runs" smallint DEFAULT 0 NOT NULL,
	"timeout_ms" integer NOT NULL,
	"limits" json,
	"options" json,
	"requires" json,
	"input" json,
	"output" json,
	"error" json,
	"queued_at" timestamp (3) with time zone,
	"not_before" timestamp (3) with time zone,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	"run_id" uuid,
	"node_id" text COLLATE "C",
	"parked" boolean DEFAULT false NOT NULL,
	"stop_reason" text,
	CONSTRAINT "tasks_job_id_index_pk" PRIMARY KEY("job_id","index")
) WITH (fillfactor = 80);
--> statement-breakpoint
CREATE INDEX "deliveries_due" ON "deliveries" USING btree ("next_at") WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX "deliveries_by_job" ON "deliveries" USING btree ("job_id");--> statement-breakpoint
CREATE INDEX "deliveries_by_lane" ON "deliveries" USING btree ("lane","created_at") WHERE state = 'pending' AND lane IS NOT NULL;--> statement-breakpoint
CREATE INDEX "events_by_job" ON "events" USING btree ("job_id","seq");--> statement-breakpoint
CREATE INDEX "jobs_by_age" ON "jobs" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "jobs_unfinished" ON "jobs" USING btree ("status","created_at") WHERE finished_at IS NULL;--> statement-breakpoint
CREATE INDEX "jobs_by_client" ON "jobs" USING btree ("surface","client","created_at") WHERE surface = 'infernet';--> statement-breakpoint
CREATE INDEX "jobs_by_dedup" ON "jobs" USING btree ("dedup_key") WHERE dedup_key IS NOT NULL;--> statement-breakpoint
CREATE INDEX "jobs_by_concurrency" ON "jobs" USING btree ("concurrency_key","status","priority","queued_at") WHERE concurrency_key IS NOT NULL AND finished_at IS NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "jobs_by_idempotency" ON "jobs" USING btree ("client","idempotency_key") WHERE idempotency_key IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "jobs_by_payload" ON "jobs" USING btree ("payload_id") WHERE payload_id IS NOT NULL;--> statement-breakpoint
CREATE INDEX "tasks_running" ON "tasks" USING btree ("node_id") WHERE status = 'running';--> statement-breakpoint
CREATE INDEX "tasks_queued" ON "tasks" USING btree ("runner","priority","queued_at") WHERE status = 'queued' AND queued_at IS NOT NULL;--> statement-breakpoint
CREATE TABLE "events_other_days" PARTITION OF "events" DEFAULT;

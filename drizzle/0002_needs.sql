CREATE TABLE "needs" (
	"queue" text COLLATE "C" PRIMARY KEY NOT NULL,
	"runner" text NOT NULL,
	"target" text,
	"requires" json,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"used_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "nodes" ADD COLUMN "complaint" text;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "need" text COLLATE "C";--> statement-breakpoint
CREATE INDEX "tasks_by_need" ON "tasks" USING btree ("need") WHERE need IS NOT NULL AND finished_at IS NULL;
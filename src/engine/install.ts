import type { Sql } from "../db/client.ts";
import { applyPending, underMigrationLock } from "../db/migrate.ts";
import type { QueueBackend } from "../queue/backend.ts";
import { Queue } from "../queue/boss.ts";
import { ensurePartitions } from "./partitions.ts";
import { queueNames } from "./queues.ts";

/** Brings a database to what this program needs: tables, partitions, queues. Safe to run at once from many processes. */
export async function install(sql: Sql, backend: QueueBackend = "postgres"): Promise<void> {
  await underMigrationLock(sql, async () => {
    await applyPending(sql);
    await ensurePartitions(sql);
    await Queue.install(sql, queueNames, backend);
  });
}

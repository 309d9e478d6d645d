import manifest from "pg-boss/package.json" with { type: "json" };
import { getConstructionPlans, getMigrationPlans } from "pg-boss";
import type { Sql } from "../db/client.ts";
import type { QueueBackend } from "./backend.ts";
import { queueSchema } from "./schema.ts";

/** The SQL with which `Queue.install` would bring pg-boss's schema to the version of this program; null when it is there. */
export async function queuePlan(sql: Sql, backend: QueueBackend): Promise<string | null> {
  const [table] = await sql<{ name: string | null }[]>`SELECT to_regclass(${`${queueSchema}.version`}) AS name`;
  if (table?.name == null) return getConstructionPlans(queueSchema, { backend });
  const [row] = await sql.unsafe<{ version: number }[]>(`SELECT version FROM ${queueSchema}.version`);
  const version = row?.version ?? 0;
  return version >= manifest.pgboss.schema ? null : getMigrationPlans(queueSchema, version, { backend });
}

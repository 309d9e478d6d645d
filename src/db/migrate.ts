import { readMigrationFiles } from "drizzle-orm/migrator";
import { migrate as applyMigrations } from "drizzle-orm/postgres-js/migrator";
import { drizzle } from "drizzle-orm/postgres-js";
import { carriedFile } from "../carried.ts";
import type { Sql } from "./client.ts";

/** How the database's tables stand to what this program knows. */
export type SchemaState = "current" | "missing" | "behind" | "ahead";

const migrationsFolder = carriedFile("drizzle");
const lockKey = 7_102_551;

/** Runs `work`, on other connections of the pool, while no other process migrates this database. */
export async function underMigrationLock<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  // A lock of the transaction and not of the session: behind a pooler a session is nobody's.
  const outcome = await sql.begin(async (tx) => {
    await tx`SELECT set_config('idle_in_transaction_session_timeout', '0', true)`;
    await tx`SELECT pg_advisory_xact_lock(${lockKey})`;
    return { value: await work() };
  });
  return outcome.value;
}

/** Applies every migration that is missing. The caller holds the migration lock. */
export async function applyPending(sql: Sql): Promise<void> {
  await applyMigrations(drizzle(sql), { migrationsFolder });
}

/** The SQL of every migration that this database lacks, in order. */
export async function pendingSql(sql: Sql): Promise<string[]> {
  const newest = (await newestApplied(sql)) ?? 0;
  return knownMigrations()
    .filter((migration) => migration.folderMillis > newest)
    .map((migration) => migration.sql.join(";\n"));
}

/** `ahead` when a newer version of this program has migrated the database. */
export async function schemaState(sql: Sql): Promise<SchemaState> {
  const applied = await newestApplied(sql);
  if (applied === null) return "missing";
  const known = knownMigrations().at(-1)?.folderMillis ?? 0;
  if (applied === known) return "current";
  return applied > known ? "ahead" : "behind";
}

function knownMigrations() {
  return readMigrationFiles({ migrationsFolder });
}

async function newestApplied(sql: Sql): Promise<number | null> {
  const [table] = await sql`SELECT to_regclass('drizzle.__drizzle_migrations') AS name`;
  if (table?.name == null) return null;
  const [row] = await sql`SELECT max(created_at) AS newest FROM drizzle.__drizzle_migrations`;
  return row?.newest == null ? null : Number(row.newest);
}

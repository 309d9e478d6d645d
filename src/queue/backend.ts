import { codeOf, type Sql } from "../db/client.ts";
import { EngineError } from "../errors.ts";

/** Databases that pg-boss has a profile for, as far as one talks to them by `DATABASE_URL`. */
export type QueueBackend = "postgres" | "citus" | "yugabytedb" | "cockroachdb";

/** What a database tells of itself, and whether it keeps the locks of a transaction that our own statements take. */
export type BackendFacts = { version: string; hasLocks: boolean };

/** Refuses, as `unavailable`, a database that is not what `QUEUE_BACKEND` says, or that cannot do what our own tables need. */
export async function requireBackend(sql: Sql, backend: QueueBackend): Promise<void> {
  const [row] = await sql<{ version: string }[]>`SELECT version() AS version`;
  const problem = backendProblem(backend, { version: row?.version ?? "", hasLocks: await hasLocks(sql) });
  if (problem !== null) throw new EngineError("unavailable", problem);
}

/** Why these do not go together, with the fix; null when they do. A database that is stock Postgres runs every profile but one. */
export function backendProblem(backend: QueueBackend, { version, hasLocks }: BackendFacts): string | null {
  const found = kindOf(version);
  if (backend === "cockroachdb" || found === "cockroachdb") return cockroachProblem;
  if (found === "yugabytedb" && backend !== "yugabytedb")
    return `DATABASE_URL leads to YugabyteDB, and QUEUE_BACKEND is ${backend}: set QUEUE_BACKEND=yugabytedb before "fairlead migrate"`;
  if (!hasLocks) {
    return "This database keeps no advisory locks, which dedup keys, concurrency keys and migrations rely on: with YugabyteDB, turn them on (ysql_yb_enable_advisory_locks), or use another database";
  }
  return null;
}

const cockroachProblem =
  "CockroachDB cannot hold Fairlead's own tables, though pg-boss's queue could be there: it takes advisory locks without keeping them, writes no more than one table in a statement, " +
  "has no daily partitions that come and go, and does not keep JSON as it was written. Use PostgreSQL, Citus or YugabyteDB";

function kindOf(version: string): QueueBackend {
  if (/CockroachDB/i.test(version)) return "cockroachdb";
  return /-YB-/.test(version) ? "yugabytedb" : "postgres";
}

const lockKey = 7_102_554;
/** Feature not supported; and what YugabyteDB says of locks that are turned off. */
const unsupported = new Set(["0A000", "XX000"]);

async function hasLocks(sql: Sql): Promise<boolean> {
  try {
    await sql`SELECT pg_advisory_xact_lock_shared(${lockKey})`;
    return true;
  } catch (fault) {
    if (unsupported.has(codeOf(fault) ?? "")) return false;
    throw fault;
  }
}

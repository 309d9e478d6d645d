import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import * as schema from "./schema.ts";

/** Where Postgres is: a URL, or a unix socket's directory with a database and a user. */
export type DatabaseAddress = string | { host: string; database: string; username: string; password?: string };

export type Sql = postgres.Sql;
export type Tx = postgres.TransactionSql;
/** Something that runs a statement: the pool, or the transaction one is in. */
export type Runs = Pick<Sql, "unsafe">;
export type Orm = PostgresJsDatabase<typeof schema>;

/**
 * `hot` is for the engine's statements that move many rows at once, `lease` for those that keep a node alive and must
 * not wait behind others, `sql` and `orm` (one pool) for everything else. A plan that was made while a table was small
 * must not scan it once it is large: on `hot` and `lease` only index plans are made.
 */
export type Database = { sql: Sql; hot: Sql; lease: Sql; orm: Orm; close(): Promise<void> };

const indexPlansOnly = {
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  enable_bitmapscan: "off",
};
const hotConnections = 6;
/** The second one is for when the first hangs. */
const leaseConnections = 2;
/** A process that is frozen within a transaction must not hold its locks for longer than a lease. */
const idleInTransactionMs = 10_000;
const closeTimeoutS = 5;
/** The driver's own pauses grow to 20 s, in which statements wait instead of failing, and a lease runs out. */
const reconnectMaxS = 0.25;

/**
 * Opens lazily: no connection is made before the first statement. The driver is patched, see patches/: as it is published,
 * a connection that is lost within a transaction ends the process, or has the rest of the transaction run outside of it
 * on the connection that comes next; and it does not tell how many connections are in use.
 */
export function openDatabase(address: DatabaseAddress, options: { connectionsMax?: number } = {}): Database {
  const settings: postgres.Options<Record<string, never>> = {
    max: options.connectionsMax ?? 10,
    idle_timeout: 0,
    connect_timeout: 5,
    backoff: reconnectAfterS,
    max_lifetime: null,
    onnotice: () => undefined,
    connection: {
      application_name: "fairlead",
      TimeZone: "UTC",
      idle_in_transaction_session_timeout: idleInTransactionMs,
    },
  };
  const place = readAddress(address);
  const open = (own: typeof settings) =>
    typeof place === "string" ? postgres(place, own) : postgres({ ...place, ...own });
  const byIndex = { ...settings, connection: { ...settings.connection, ...indexPlansOnly } };
  const sql = open(settings);
  const hot = open({ ...byIndex, max: hotConnections });
  const lease = open({ ...byIndex, max: leaseConnections });
  const close = async () => {
    await Promise.all([sql, hot, lease].map((pool) => pool.end({ timeout: closeTimeoutS })));
  };
  return { sql, hot, lease, orm: drizzle(sql, { schema }), close };
}

function reconnectAfterS(attempt: number): number {
  return Math.min(reconnectMaxS, 2 ** Math.min(attempt, 10) / 100) * (0.5 + Math.random() / 2);
}

/** libpq's way to name a unix socket, `postgres://user@/database?host=/directory`, which postgres.js does not know. */
function readAddress(address: DatabaseAddress): DatabaseAddress {
  if (typeof address !== "string" || !URL.canParse(address)) return address;
  const url = new URL(address);
  const host = url.searchParams.get("host");
  if (host === null || !host.startsWith("/")) return address;
  const { username, password, pathname } = url;
  return {
    host,
    database: decodeURIComponent(pathname.slice(1)),
    username: decodeURIComponent(username),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
  };
}

/** True when the statement failed because Postgres could not be reached or went away: worth trying again. */
export function isConnectionFault(fault: unknown): boolean {
  const code = codeOf(fault);
  if (code === "ENOENT") return isOfConnecting(fault);
  return code !== null && (code.startsWith("08") || code.startsWith("57P") || connectionFaults.has(code));
}

/**
 * True when the same statement may well succeed later: Postgres was away, ended the session or the transaction of its
 * own accord, chose it as the victim of a deadlock, or lacks disk or memory for the moment.
 */
export function isPassingFault(fault: unknown): boolean {
  const code = codeOf(fault);
  return isConnectionFault(fault) || (code !== null && (/^(40|53|58)/.test(code) || passingFaults.has(code)));
}

/** SQLSTATE or driver code of a fault, looked for along its causes. */
export function codeOf(fault: unknown): string | null {
  for (let at = fault, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if ("code" in at && typeof at.code === "string") return at.code;
  }
  return null;
}

/** A socket that is not there, and no other file. */
function isOfConnecting(fault: unknown): boolean {
  return fault instanceof Error && "syscall" in fault && fault.syscall === "connect";
}

const connectionFaults = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  "53300",
  // Idle in a transaction for too long: the session is gone.
  "25P03",
]);

/** Read-only after a failover, lock not available, cancelled by a timeout. */
const passingFaults = new Set(["25006", "55P03", "57014"]);

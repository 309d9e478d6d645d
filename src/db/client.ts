import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { readAddress } from "./address.ts";
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
export type Database = {
  sql: Sql;
  hot: Sql;
  lease: Sql;
  orm: Orm;
  /** Whose `listen` is heard; null where there is nobody who would tell. */
  listener: Sql | null;
  close(): Promise<void>;
};

export type OpenOptions = {
  connectionsMax?: number;
  /** Each transaction may get another session, as with PgBouncer: nothing of a session is set or relied on. */
  isPooled?: boolean;
  /** A connection on which a statement has had no answer for so long is given up, and the statement fails as if it had been cut. */
  answerWithinS?: number;
  /** Where to listen: `never` when nothing would be heard, or the address of a way around the pooler. */
  listenAt?: "never" | { address: DatabaseAddress };
};

const indexPlansOnly = {
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  enable_bitmapscan: "off",
  // What a plan depends on is known beforehand, and making one takes longer than carrying it out.
  plan_cache_mode: "force_generic_plan",
};
const common = { application_name: "fairlead", TimeZone: "UTC" };
const hotConnections = 6;
/** The second one is for when the first hangs. */
const leaseConnections = 2;
/** Those are small, and without them the node stops its work. */
const leaseHaste = 6;
/** A process that is frozen within a transaction must not hold its locks for longer than a lease. */
const usual = { idle_in_transaction_session_timeout: 10_000 };
/** Unnamed statements are planned anew each time, with what the tables hold by then: there is nothing to prevent. */
const sessions = { usual, "by index": { ...usual, ...indexPlansOnly }, pooled: {} } as const;
const closeTimeoutS = 5;
/** The driver's own pauses grow to 20 s, in which statements wait instead of failing, and a lease runs out. */
const reconnectMaxS = 0.25;

/**
 * Opens lazily: no connection is made before the first statement. The driver is patched, see patches/: as it is published,
 * a connection that is lost within a transaction ends the process, or has the rest of the transaction run outside of it
 * on the connection that comes next; it does not tell how many connections are in use; and it waits for ever for an answer on a
 * connection that a firewall has forgotten.
 */
export function openDatabase(address: DatabaseAddress, options: OpenOptions = {}): Database {
  const { connectionsMax = 10, isPooled = false, answerWithinS = null, listenAt } = options;
  const leaseWithinS = answerWithinS === null ? null : answerWithinS / leaseHaste;
  const open = (max: number, session: Session, withinS = answerWithinS) =>
    openPool(address, { max, session, answerWithinS: withinS });
  const sql = open(connectionsMax, isPooled ? "pooled" : "usual");
  const hot = open(hotConnections, isPooled ? "pooled" : "by index");
  const lease = open(leaseConnections, isPooled ? "pooled" : "by index", leaseWithinS);
  const aside = typeof listenAt === "object" ? openPool(listenAt.address, { max: 1, session: "pooled" }) : null;
  const listener = listenAt === "never" ? null : (aside ?? sql);
  const pools = [sql, hot, lease, ...(aside === null ? [] : [aside])];
  const close = async () => {
    await Promise.all(pools.map((pool) => pool.end({ timeout: closeTimeoutS })));
  };
  return { sql, hot, lease, listener, orm: drizzle(sql, { schema }), close };
}

/** What is set for a session as it begins. A pooler refuses most of it, and keeps no prepared statement for its client. */
export type Session = "usual" | "by index" | "pooled";

/** One pool of connections, none of which is made before the first statement. */
export function openPool(
  address: DatabaseAddress,
  { max, session, answerWithinS = null }: { max: number; session: Session; answerWithinS?: number | null },
): Sql {
  const { url, options } = readAddress(address);
  const settings: postgres.Options<Record<string, never>> & { answer_timeout: number | null } = {
    ...options,
    max,
    prepare: session !== "pooled",
    idle_timeout: 0,
    connect_timeout: 5,
    answer_timeout: answerWithinS,
    backoff: reconnectAfterS,
    max_lifetime: null,
    onnotice: () => undefined,
    connection: { ...options.connection, ...common, ...sessions[session] },
  };
  return url === null ? postgres(settings) : postgres(url, settings);
}

function reconnectAfterS(attempt: number): number {
  return Math.min(reconnectMaxS, 2 ** Math.min(attempt, 10) / 100) * (0.5 + Math.random() / 2);
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

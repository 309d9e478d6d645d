import { codeOf, type DatabaseAddress, openPool, type Session, type Sql } from "./client.ts";

/** What can be relied on behind an address. */
export type Sessions = {
  /** A pooler hands each transaction to any of its sessions, or lets a client set nothing for its own. */
  isPooled: boolean;
  /** What is listened to is heard. */
  hears: boolean;
};

const channel = "fairlead_probe";
/** A Postgres that is talked to directly may be slow; a pooler that passes nothing on never will. */
const hearWithinMs = { direct: 10_000, pooled: 1_000 };
const notifyEveryMs = 100;
/** Of databases that speak Postgres's protocol and have no LISTEN. */
const unsupported = "0A000";
/** Protocol violation, which is how PgBouncer refuses a parameter at the start of a session. */
const refusedParameter = "08P01";

/**
 * Finds out by trying. PgBouncer names itself nowhere: it refuses parameters of a session, tells of another process
 * number than the one that answers, and passes on no notification unless it pools by session. Faults are the database's own.
 */
export async function examineSessions(address: DatabaseAddress): Promise<Sessions> {
  const takesParameters = await withPool(address, "by index", asksOnce).catch((fault: unknown) => {
    if (codeOf(fault) === refusedParameter) return false;
    throw fault;
  });
  return withPool(address, takesParameters ? "usual" : "pooled", async (sql) => {
    const direct = await isDirect(sql);
    const hears = await isHeard(sql, sql, direct ? hearWithinMs.direct : hearWithinMs.pooled);
    return { isPooled: !takesParameters || (!direct && !hears), hears };
  });
}

/** Whether what is told at `address` is heard at `listenAddress`: another way to the same database, with sessions that last. */
export async function isHeardAt(listenAddress: DatabaseAddress, address: DatabaseAddress, { isPooled }: Sessions) {
  return withPool(listenAddress, "pooled", (listener) =>
    withPool(address, isPooled ? "pooled" : "usual", (sql) => isHeard(listener, sql, hearWithinMs.direct)),
  );
}

async function withPool<T>(address: DatabaseAddress, session: Session, work: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = openPool(address, { max: 2, session });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function asksOnce(sql: Sql): Promise<true> {
  await sql`SELECT 1`;
  return true;
}

/** The listener has a connection of its own, so that a notification must be passed from one to another. */
async function isHeard(listener: Sql, sql: Sql, withinMs: number): Promise<boolean> {
  const token = crypto.randomUUID();
  const heard = Promise.withResolvers<true>();
  const listening = await listener
    .listen(channel, (payload) => {
      if (payload === token) heard.resolve(true);
    })
    .catch((fault: unknown) => {
      if (codeOf(fault) === unsupported) return null;
      throw fault;
    });
  if (listening === null) return false;
  try {
    for (const until = Date.now() + withinMs; Date.now() < until;) {
      await sql`SELECT pg_notify(${channel}, ${token})`;
      const silence = Bun.sleep(notifyEveryMs).then(() => false);
      if (await Promise.race([heard.promise, silence])) return true;
    }
    return false;
  } finally {
    await listening.unlisten();
  }
}

/** Whether the process that was named when the connection began is the one that answers. */
async function isDirect(sql: Sql): Promise<boolean> {
  const rows = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  return rows[0] !== undefined && "pid" in rows.state && rows.state.pid === rows[0].pid;
}

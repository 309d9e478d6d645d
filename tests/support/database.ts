import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import postgres from "postgres";
import { type Cluster, connectTo, openCluster, prepareTemplate, type SocketAddress } from "./cluster.ts";
import { whenFileEnds } from "./ending.ts";

/** A database of a test file, with the schema and the queues installed and nothing in them. */
export type TestDatabase = {
  /** For `openDatabase`. */
  address: SocketAddress;
  /** For a server that is started as a process of its own. */
  environment: { DATABASE_URL: string; PGHOST: string; PGUSER: string };
  /** A pool of its own; it is closed with the database. */
  sql: postgres.Sql;
  /**
   * Closes the pool. The database itself stays until the same file is run again, or until a whole run has passed, so
   * that one can look at what a failed test left.
   */
  drop(): Promise<void>;
};

let opening: Promise<{ cluster: Cluster; template: string }> | undefined;
const tidied = new Set<string>();
const pools = new Set<postgres.Sql>();

/** Clones a database from the template. What the caller does not drop is closed at the end of the file. */
export async function testDatabase(): Promise<TestDatabase> {
  const prefix = prefixOf(callingFile());
  opening ??= open();
  const { cluster, template } = await opening;
  const database = `${prefix}${process.pid}_${randomBytes(3).toString("hex")}`;
  await administer(cluster, async (sql) => {
    if (!tidied.has(prefix)) await dropLeftovers(sql, prefix);
    tidied.add(prefix);
    // Without fsync copying the files is twice as fast as writing them through the log.
    await sql.unsafe(`create database ${database} template ${template} strategy file_copy`);
  });
  const address = { ...cluster.address, database };
  const sql = postgres({ ...address, max: 4, onnotice: () => undefined });
  pools.add(sql);
  const drop = async () => {
    pools.delete(sql);
    await sql.end({ timeout: 5 });
  };
  // No URL can name a unix socket's directory to postgres.js: it reads that from PGHOST when the URL has no host.
  const environment = { DATABASE_URL: `postgres:///${database}`, PGHOST: address.host, PGUSER: address.username };
  return { address, environment, sql, drop };
}

/** Start of the names of a test file's databases, without the process number. */
export function prefixOf(file: string): string {
  const name = basename(file).replace(/\.test\.ts$/, "");
  return `t_${name
    .replaceAll(/[^a-z0-9]+/gi, "_")
    .toLowerCase()
    .slice(0, 30)}_`;
}

async function open(): Promise<{ cluster: Cluster; template: string }> {
  const cluster = await openCluster();
  whenFileEnds(async () => {
    for (const sql of pools) await sql.end({ timeout: 5 });
    pools.clear();
    opening = undefined;
    await cluster.stop();
  });
  return { cluster, template: await prepareTemplate(cluster) };
}

/** What earlier runs of the same file left, unless such a run is still going on. */
async function dropLeftovers(sql: postgres.Sql, prefix: string): Promise<void> {
  const rows = await sql<{ datname: string }[]>`select datname from pg_database where starts_with(datname, ${prefix})`;
  for (const { datname } of rows) {
    const pid = Number(datname.slice(prefix.length).split("_")[0]);
    if (Number.isInteger(pid) && pid !== process.pid && !isAlive(pid)) {
      await sql.unsafe(`drop database if exists ${datname} with (force)`);
    }
  }
}

async function administer(cluster: Cluster, work: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = connectTo(cluster.address, cluster.address.database);
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // No such process: the ordinary answer.
    return false;
  }
}

/** The test file on the stack; support files call for it. */
function callingFile(): string {
  const frame = new Error().stack?.match(/[^\s(]+\.test\.ts/);
  return frame?.[0] ?? Bun.main;
}

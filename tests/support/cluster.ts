import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import postgres from "postgres";
import type { DatabaseAddress } from "../../src/db/client.ts";
import { startEmbedded } from "../../src/db/embedded.ts";
import { install } from "../../src/engine/install.ts";
import { silentLog } from "../../src/log.ts";

/** Where a database is, in the form that `openDatabase` takes. */
export type SocketAddress = Exclude<DatabaseAddress, string>;
export type Cluster = { address: SocketAddress; stop(): Promise<void> };

/** Carries the cluster of the whole run, as JSON, from scripts/test.ts to the files under test. */
export const clusterVariable = "FAIRLEAD_TEST_DATABASE";
const repository = resolve(import.meta.dir, "../..");
const lockKey = 7_102_552;
const draft = "template_draft";
const templatesKept = 3;

/** Start of the names of this checkout's cluster directories. */
export function clusterPrefix(): string {
  const name = createHash("sha256").update(`${repository} ${process.getuid?.()}`).digest("hex").slice(0, 12);
  return join(tmpdir(), `fairlead-test-${name}`);
}

/** The cluster of the run, or one of this process on a directory that stays, so that the next run finds its template. */
export async function openCluster(dataDir = `${clusterPrefix()}-direct`): Promise<Cluster> {
  const handed = process.env[clusterVariable];
  if (handed) return { address: JSON.parse(handed) as SocketAddress, stop: async () => undefined };
  const { host, database, username, stop } = await startEmbedded({ dataDir, log: silentLog(), tune: "test" });
  return { address: { host, database, username }, stop };
}

/** A pool of one connection to a database of the cluster. */
export function connectTo(address: SocketAddress, database: string): postgres.Sql {
  return postgres({ ...address, database, max: 1, onnotice: () => undefined });
}

/**
 * The name of a database with everything installed, which can be cloned. Built once, however many processes ask, and
 * again when what it is made of has changed, or the day, since tables are partitioned by day.
 */
export async function prepareTemplate({ address }: Cluster): Promise<string> {
  const template = `template_${await ingredientsHash()}`;
  const sql = connectTo(address, address.database);
  try {
    if (await exists(sql, template)) return template;
    await sql`select pg_advisory_lock(${lockKey})`;
    if (!(await exists(sql, template))) await build(sql, address, template);
    return template;
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function exists(sql: postgres.Sql, template: string): Promise<boolean> {
  const rows = await sql`select 1 from pg_database where datname = ${template}`;
  return rows.length > 0;
}

/** Closed to connections at the end: one, be it of autovacuum, would keep it from being cloned. */
async function build(sql: postgres.Sql, address: SocketAddress, template: string): Promise<void> {
  await sql.unsafe(`drop database if exists ${draft} with (force)`);
  await sql.unsafe(`create database ${draft}`);
  const inside = postgres({ ...address, database: draft, max: 2, onnotice: () => undefined });
  try {
    await install(inside);
  } finally {
    await inside.end({ timeout: 5 });
  }
  await dropOldTemplates(sql);
  await sql.unsafe(`alter database ${draft} with allow_connections false`);
  await sql.unsafe(`alter database ${draft} rename to ${template}`);
}

/** The last few stay: a run that began before a file was changed still clones from its own. */
async function dropOldTemplates(sql: postgres.Sql): Promise<void> {
  const old = await sql<{ datname: string }[]>`
    select datname from pg_database where starts_with(datname, 'template_') and datname <> ${draft}
    order by oid desc offset ${templatesKept}`;
  for (const { datname } of old) await sql.unsafe(`drop database ${datname} with (force)`);
}

async function ingredientsHash(): Promise<string> {
  const hash = createHash("sha256").update(new Date().toISOString().slice(0, 10));
  const patterns = [
    "drizzle/**/*.{sql,json}",
    "src/{db,queue}/*.ts",
    "src/engine/{install,partitions,queues}.ts",
    "bun.lock",
  ];
  for (const pattern of patterns) {
    const paths = [...new Bun.Glob(pattern).scanSync(repository)].sort();
    for (const path of paths) hash.update(path).update(await Bun.file(join(repository, path)).bytes());
  }
  return hash.digest("hex").slice(0, 16);
}

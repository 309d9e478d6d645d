import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { rm, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Check } from "./app-doctor.ts";
import { sessionNotes } from "./app-database.ts";
import { bucketOf, filesNote } from "./app-files.ts";
import { visitDatabase } from "./app-visit.ts";
import type { Config } from "./config.ts";
import type { Sql } from "./db/client.ts";
import { examineSessions } from "./db/sessions.ts";
import { openBucket } from "./files/bucket.ts";
import { type SchemaState, schemaState } from "./db/migrate.ts";

const bytesPerGb = 1_000_000_000;
/** Nothing lies below it: only that it can be asked for counts. */
const doctorPrefix = "fairlead-doctor/";
/** Below this Postgres itself soon stops. */
const diskMinGb = 1;
const diskFewGb = 5;
const nodesShownMax = 5;
const skewMaxMs = 1_000;
/** A lease of a node is 15 s; tokens are taken with 60 s of difference. */
const skewFatalMs = 30_000;

/** Whether the database answers, and whether its tables are those of this program. */
export async function checkDatabase(config: Config): Promise<Check[]> {
  const isEmbedded = config.databaseUrl === "";
  try {
    return await visitDatabase(config, async ({ sql }) => {
      const [row] = await sql<{ version: string }[]>`SELECT current_setting('server_version') AS version`;
      const detail = `PostgreSQL ${row?.version ?? ""}, ${isEmbedded ? "embedded" : "at DATABASE_URL"}`;
      const schema = await schemaState(sql);
      const nodes = schema === "current" && !isEmbedded ? [await checkNodes(sql)] : [];
      const sessions = await sessionChecks(config);
      return [{ name: "database", state: "ok", detail }, ...sessions, schemaCheck(schema, isEmbedded), ...nodes];
    });
  } catch (fault) {
    const detail = fault instanceof Error ? fault.message || String(fault) : String(fault);
    const fix = isEmbedded
      ? "see the message; or use another Postgres by DATABASE_URL"
      : "start Postgres, or correct DATABASE_URL (postgres://user:password@host:5432/database)";
    return [{ name: "database", state: "failed", detail, fix }];
  }
}

/** The nodes that live on this database, and those that take no work though it waits for them. */
async function checkNodes(sql: Sql): Promise<Check> {
  const rows = await sql<{ id: string; complaint: string | null }[]>`
    SELECT id, complaint FROM nodes WHERE lease_until > now() ORDER BY id LIMIT 1000`;
  const ill = rows.filter(({ complaint }) => complaint !== null);
  if (ill.length === 0) return { name: "nodes", state: "ok", detail: `${rows.length} alive` };
  const detail = ill
    .slice(0, nodesShownMax)
    .map(({ id, complaint }) => `${id} ${complaint}`)
    .join("; ");
  const fix = "look at that node's log for failing claims, and start it anew should it not recover by itself";
  return { name: "nodes", state: "warn", detail, fix };
}

/** What stands before the database, where that changes how a node works. */
async function sessionChecks({ databaseUrl, databaseListenUrl }: Config): Promise<Check[]> {
  if (databaseUrl === "") return [];
  const { isPooled, hears } = await examineSessions(databaseUrl);
  const fix = "name Postgres itself in DATABASE_URL, or in DATABASE_LISTEN_URL";
  return sessionNotes({ isPooled, hears: hears || databaseListenUrl !== "" }).map((detail) => ({
    name: "sessions",
    state: "warn",
    detail,
    fix,
  }));
}

function schemaCheck(state: SchemaState, isEmbedded: boolean): Check {
  if (state === "current") return { name: "schema", state: "ok", detail: "at this version" };
  if (state === "ahead") {
    const fix = "run the newer version, or restore a backup";
    return { name: "schema", state: "failed", detail: "was migrated by a newer version of Fairlead", fix };
  }
  if (isEmbedded) return { name: "schema", state: "ok", detail: "is made by the next `fairlead serve`" };
  const fix = "run `fairlead migrate` (`--plan` shows the SQL)";
  return { name: "schema", state: "failed", detail: state === "missing" ? "is not there" : "is older", fix };
}

/** Nodes compare times in the database, and tokens carry times: both suffer when clocks differ. */
export async function checkClock(config: Config): Promise<Check> {
  if (config.databaseUrl === "") return { name: "clock", state: "ok", detail: new Date().toISOString() };
  const skewMs = await visitDatabase(config, ({ sql }) => skewOf(sql)).catch(() => null); // The database has a check of its own.
  if (skewMs === null) return { name: "clock", state: "warn", detail: "cannot be compared: no database" };
  const detail = `${Math.abs(skewMs)} ms ${skewMs < 0 ? "behind" : "before"} the database's`;
  if (Math.abs(skewMs) <= skewMaxMs) return { name: "clock", state: "ok", detail };
  const fix = "let both machines keep time (chrony, systemd-timesyncd)";
  return { name: "clock", state: Math.abs(skewMs) > skewFatalMs ? "failed" : "warn", detail, fix };
}

async function skewOf(sql: Sql): Promise<number> {
  // The first statement also connects.
  await sql`SELECT 1`;
  const before = Date.now();
  const [row] = await sql<{ ms: number }[]>`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms`;
  return Math.round((before + Date.now()) / 2 - (row?.ms ?? 0));
}

/** Whether every node reaches the files of jobs, and the bucket can be used where there is one. */
export async function checkFiles(config: Config): Promise<Check> {
  const bucket = bucketOf(config);
  const note = filesNote(config);
  if (bucket === null && note === null) return { name: "files", state: "ok", detail: "on this node's disk" };
  if (bucket === null) {
    const fix = "set S3_BUCKET before there is a second node; with one node all is well";
    return { name: "files", state: "warn", detail: note ?? "", fix };
  }
  try {
    await openBucket(bucket).keys(doctorPrefix);
    return { name: "files", state: "ok", detail: `in the bucket ${bucket.bucket}` };
  } catch (fault) {
    const detail = fault instanceof Error ? fault.message : String(fault);
    return { name: "files", state: "failed", detail, fix: "correct S3_BUCKET, S3_ENDPOINT, S3_REGION and the keys" };
  }
}

/** Whether payloads can be written where they belong, and how much room there is. */
export async function checkDisk({ dataDir }: Config): Promise<Check> {
  const directory = nearestThere(dataDir);
  const probe = join(directory, `.fairlead-doctor-${randomBytes(6).toString("hex")}`);
  try {
    await writeFile(probe, "");
    await rm(probe);
  } catch (fault) {
    const detail = `${directory} cannot be written to (${fault instanceof Error ? fault.message : String(fault)})`;
    return {
      name: "disk",
      state: "failed",
      detail,
      fix: "give this account the directory, or set DATA_DIR to another",
    };
  }
  const { bavail, bsize } = await statfs(directory);
  const freeGb = (bavail * bsize) / bytesPerGb;
  const detail = `${freeGb.toFixed(freeGb < diskFewGb ? 1 : 0)} GB free for ${dataDir}`;
  if (freeGb >= diskFewGb) return { name: "disk", state: "ok", detail };
  const fix = "free some, set DATA_DIR to a larger disk, or lower MAX_AGE";
  return { name: "disk", state: freeGb < diskMinGb ? "failed" : "warn", detail, fix };
}

function nearestThere(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "./config.ts";
import { cannotBeUsed } from "./app-database.ts";
import { type Database, openDatabase } from "./db/client.ts";
import { startEmbedded } from "./db/embedded.ts";
import { hasCluster } from "./db/embeddedCluster.ts";
import { placeOf } from "./db/embeddedPlace.ts";
import { openGivenDatabase } from "./db/given.ts";
import { silentLog } from "./log.ts";

type Visit<T> = (database: Database) => Promise<T>;

/**
 * Lends the configured database as it is, whatever its schema. An embedded one that was never started is lent as an empty one in a
 * temporary directory, so that looking leaves nothing behind. Throws `EngineError("unavailable")` when it cannot be reached.
 */
export async function visitDatabase<T>(config: Config, visit: Visit<T>): Promise<T> {
  if (config.databaseUrl !== "") return visitGiven(config, visit);
  if (hasCluster(placeOf(config.dataDir))) return visitEmbedded(config.dataDir, visit);
  const scratch = await mkdtemp(join(tmpdir(), "fairlead-look-"));
  try {
    return await visitEmbedded(scratch, visit);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The same for a visit that changes something: an embedded database is made when it is not there. */
export async function visitOwnDatabase<T>(config: Config, visit: Visit<T>): Promise<T> {
  return config.databaseUrl === "" ? visitEmbedded(config.dataDir, visit) : visitGiven(config, visit);
}

async function visitEmbedded<T>(dataDir: string, visit: Visit<T>): Promise<T> {
  const embedded = await startEmbedded({ dataDir, log: silentLog() });
  try {
    const { host, database, username } = embedded;
    return await visitOpen(openDatabase({ host, database, username }), visit);
  } finally {
    await embedded.stop();
  }
}

async function visitGiven<T>({ databaseUrl, databaseListenUrl }: Config, visit: Visit<T>): Promise<T> {
  const { db } = await openGivenDatabase(databaseUrl, databaseListenUrl).catch((fault: unknown) => {
    throw cannotBeUsed(fault, "");
  });
  return visitOpen(db, visit);
}

async function visitOpen<T>(database: Database, visit: Visit<T>): Promise<T> {
  try {
    await database.sql`SELECT 1`.catch((fault: unknown) => {
      throw cannotBeUsed(fault, "");
    });
    return await visit(database);
  } finally {
    await database.close();
  }
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "./config.ts";
import { type Database, type DatabaseAddress, openDatabase } from "./db/client.ts";
import { startEmbedded } from "./db/embedded.ts";
import { hasCluster } from "./db/embeddedCluster.ts";
import { placeOf } from "./db/embeddedPlace.ts";
import { EngineError } from "./errors.ts";
import { silentLog } from "./log.ts";

type Visit<T> = (database: Database) => Promise<T>;

/**
 * Lends the configured database as it is, whatever its schema. An embedded one that was never started is lent as an empty one in a
 * temporary directory, so that looking leaves nothing behind. Throws `EngineError("unavailable")` when it cannot be reached.
 */
export async function visitDatabase<T>(config: Config, visit: Visit<T>): Promise<T> {
  if (config.databaseUrl !== "") return visitPlace(config.databaseUrl, visit);
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
  return config.databaseUrl === "" ? visitEmbedded(config.dataDir, visit) : visitPlace(config.databaseUrl, visit);
}

async function visitEmbedded<T>(dataDir: string, visit: Visit<T>): Promise<T> {
  const embedded = await startEmbedded({ dataDir, log: silentLog() });
  try {
    const { host, database, username } = embedded;
    return await visitPlace({ host, database, username }, visit);
  } finally {
    await embedded.stop();
  }
}

async function visitPlace<T>(place: DatabaseAddress, visit: Visit<T>): Promise<T> {
  const database = openDatabase(place);
  try {
    await database.sql`SELECT 1`.catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EngineError("unavailable", `The database cannot be used: ${reason}`, { cause });
    });
    return await visit(database);
  } finally {
    await database.close();
  }
}

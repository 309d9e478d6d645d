import type { Config } from "./config.ts";
import { type Database, openDatabase } from "./db/client.ts";
import { startEmbedded } from "./db/embedded.ts";
import { schemaState } from "./db/migrate.ts";
import { install } from "./engine/install.ts";
import { EngineError } from "./errors.ts";
import type { Log } from "./log.ts";

export type OpenedDatabase = { db: Database; embedded: boolean; close(): Promise<void> };

/**
 * The database this process works on, ready to use. The embedded one is started and migrated; one that was given by
 * `DATABASE_URL` is only checked, since migrating it is a step of its own. Throws `EngineError("unavailable")` that names the command to run.
 */
export async function openReadyDatabase(config: Config, log: Log): Promise<OpenedDatabase> {
  return config.databaseUrl === "" ? openEmbedded(config, log) : openGiven(config);
}

async function openEmbedded(config: Config, log: Log): Promise<OpenedDatabase> {
  const embedded = await startEmbedded({ dataDir: config.dataDir, log });
  const { host, database, username } = embedded;
  const db = openDatabase({ host, database, username });
  const close = async () => {
    await db.close();
    await embedded.stop();
  };
  try {
    const state = await schemaState(db.sql);
    if (state === "ahead") throw newerSchema();
    if (state !== "current") await install(db.sql);
    return { db, embedded: true, close };
  } catch (fault) {
    await close();
    throw fault;
  }
}

async function openGiven(config: Config): Promise<OpenedDatabase> {
  const db = openDatabase(config.databaseUrl);
  try {
    const state = await schemaState(db.sql).catch((fault: unknown) => {
      throw unreachable(fault);
    });
    if (state === "ahead") throw newerSchema();
    if (state !== "current") {
      throw new EngineError(
        "unavailable",
        `The database at DATABASE_URL is ${state === "missing" ? "empty" : "older than this version"}: run "fairlead migrate" first ("fairlead migrate --plan" shows the SQL)`,
      );
    }
    return { db, embedded: false, close: () => db.close() };
  } catch (fault) {
    await db.close();
    throw fault;
  }
}

function unreachable(fault: unknown): EngineError {
  const said = fault instanceof Error ? fault.message : String(fault);
  return new EngineError(
    "unavailable",
    `The database at DATABASE_URL cannot be used: ${said}. Start it, or correct DATABASE_URL; without one an embedded Postgres is started`,
    { cause: fault },
  );
}

function newerSchema(): EngineError {
  return new EngineError(
    "unavailable",
    "The database was migrated by a newer version of Fairlead: run that version, or restore a backup",
  );
}

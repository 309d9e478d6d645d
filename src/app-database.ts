import type { Config } from "./config.ts";
import { codeOf, type Database, isConnectionFault, openDatabase, type Sql } from "./db/client.ts";
import { startEmbedded } from "./db/embedded.ts";
import { openGivenDatabase } from "./db/given.ts";
import { type SchemaState, schemaState } from "./db/migrate.ts";
import type { Sessions } from "./db/sessions.ts";
import { install } from "./engine/install.ts";
import { EngineError } from "./errors.ts";
import type { Log } from "./log.ts";
import { type QueueBackend, requireBackend } from "./queue/backend.ts";

export type OpenedDatabase = { db: Database; embedded: boolean; close(): Promise<void> };

/**
 * The database this process works on, ready to use. The embedded one is started and migrated; one that was given by
 * `DATABASE_URL` is only checked, since migrating it is a step of its own. Throws `EngineError("unavailable")` that names the command to run.
 */
export async function openReadyDatabase(config: Config, log: Log): Promise<OpenedDatabase> {
  return config.databaseUrl === "" ? openEmbedded(config, log) : openGiven(config, log);
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

async function openGiven(config: Config, log: Log): Promise<OpenedDatabase> {
  const { databaseUrl, databaseListenUrl, nodeLeaseS } = config;
  const answerWithinS = nodeLeaseS * answerLeases;
  const { db, sessions } = await openGivenDatabase(databaseUrl, databaseListenUrl, { answerWithinS }).catch(
    (fault: unknown) => {
      throw cannotBeUsed(fault);
    },
  );
  for (const note of sessionNotes(sessions)) log.warn(note, {});
  try {
    const state = await stateFor(db.sql, config.queueBackend).catch((fault: unknown) => {
      throw cannotBeUsed(fault);
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

async function stateFor(sql: Sql, backend: QueueBackend): Promise<SchemaState> {
  await requireBackend(sql, backend);
  return schemaState(sql);
}

/** No statement of a running service takes as many leases, and nothing else ends the wait on a connection that leads nowhere. */
const answerLeases = 4;

/** What is not as with a Postgres that one talks to directly. */
export function sessionNotes({ isPooled, hears }: Sessions): string[] {
  const pooled = "DATABASE_URL leads to a pooler: statements are not prepared, and nothing is set for a session";
  const deaf =
    "no notification is heard through DATABASE_URL: this node polls every second for what others do, unless DATABASE_LISTEN_URL leads around the pooler";
  return [...(isPooled ? [pooled] : []), ...(hears ? [] : [deaf])];
}

/** What a fault of connecting means for whoever wrote `DATABASE_URL`; `otherwise` when nothing better is known. */
export function cannotBeUsed(fault: unknown, otherwise = usualFix): EngineError {
  if (fault instanceof EngineError) return fault;
  const said = fault instanceof Error ? fault.message || String(fault) : String(fault);
  const fix = knownFixes.find(([sign]) => sign.test(`${codeOf(fault)} ${said}`))?.[1] ?? otherwise;
  const message = `The database at DATABASE_URL cannot be used: ${said}${fix === "" ? "" : `. ${fix}`}`;
  return new EngineError("unavailable", message, { cause: fault });
}

/** The same for what broke off a start in its middle; other faults are left as they are. */
export function startFault(fault: unknown): unknown {
  return isConnectionFault(fault) ? cannotBeUsed(fault) : fault;
}

const usualFix = "Start it, or correct DATABASE_URL; without one an embedded Postgres is started";
const knownFixes: readonly [RegExp, string][] = [
  [
    /Invalid URL|URI error|URI malformed/,
    "Write postgres://user:password@host:5432/database, with %40 for @, %2F for /, %3F for ?, %23 for # and %25 for % in the password",
  ],
  [/no encryption/, "It insists on TLS: add sslmode=require, or sslmode=verify-full with sslrootcert"],
  [
    /before secure TLS connection/,
    "It offers no TLS: turn on its ssl, or leave sslmode out where nobody else is on the way",
  ],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID/,
    "Name the host as its certificate does, or use sslmode=verify-ca if anybody whom that authority knows may answer",
  ],
  [
    /VERIFY|CERT|SELF_SIGNED|certificate/,
    "Name the authority that signed its certificate by sslrootcert, or use sslmode=require, which trusts whoever answers",
  ],
];

function newerSchema(): EngineError {
  return new EngineError(
    "unavailable",
    "The database was migrated by a newer version of Fairlead: run that version, or restore a backup",
  );
}

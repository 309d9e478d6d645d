import postgres from "postgres";

export const embeddedUser = "fairlead";
export const embeddedDatabase = "fairlead";
const connectTimeoutS = 3;

export type Answer = "ready" | "no database" | "busy" | "silence";

/**
 * Connects once. `busy`: it starts or stops. `ready` is also a server that says no for a passing reason, such as having
 * no free connection. Throws when it does not let this user in.
 */
export async function ask(socketDir: string): Promise<Answer> {
  const sql = connect(socketDir, embeddedDatabase);
  try {
    await sql`select 1`;
    return "ready";
  } catch (fault) {
    if (!(fault instanceof postgres.PostgresError)) return "silence";
    if (fault.code === "3D000") return "no database";
    if (fault.code.startsWith("28")) throw fault;
    return fault.code === "57P03" ? "busy" : "ready";
  } finally {
    await sql.end({ timeout: 1 });
  }
}

export async function createDatabase(socketDir: string): Promise<void> {
  const sql = connect(socketDir, "postgres");
  try {
    await sql.unsafe(`create database ${embeddedDatabase}`);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function connect(socketDir: string, database: string): postgres.Sql {
  return postgres({
    host: socketDir,
    database,
    username: embeddedUser,
    max: 1,
    connect_timeout: connectTimeoutS,
    fetch_types: false,
    onnotice: () => undefined,
  });
}

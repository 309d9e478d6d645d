import { chmodSync, chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { type Account, chooseAccount, spawnAs } from "../../src/db/embeddedAccount.ts";
import { findBinaries } from "../../src/db/embeddedBinaries.ts";
import { whenFileEnds } from "./ending.ts";
import { until } from "./until.ts";

/** A Postgres of its own that listens on loopback, as one that others run; stopped when the test file ends. */
export type TcpPostgres = {
  port: number;
  /** As `DATABASE_URL`, with these parameters; any name or address of loopback as `host`. */
  url(query?: string, host?: string): string;
  start(): Promise<void>;
  /** `fast` ends sessions in order, `immediate` is a crash. */
  stop(how?: "fast" | "immediate"): Promise<void>;
};

type Options = {
  /** Files below the data directory and settings, by name. */
  files?: Record<string, string>;
  settings?: Record<string, string>;
  hba?: string[];
};

const user = "fairlead";
const stopSignals = { fast: "SIGINT", immediate: "SIGQUIT" } as const;
/** Between the choice of a port and its use another process may take it. */
const triesMax = 5;

export async function startTcpPostgres(options: Options = {}): Promise<TcpPostgres> {
  const room = makeRoom();
  await createCluster(room, options);
  let server: Bun.Subprocess<"ignore", number, number> | null = null;
  let port = 0;
  const launch = async (at: number) => {
    const output = openSync(room.log, "a");
    const settings = { port: String(at), ...defaults, ...options.settings, unix_socket_directories: "" };
    const words = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    server = spawnAs(room.account, [room.binaries.postgres, "-D", room.cluster, ...words], output);
    closeSync(output);
    if (await answers(server, at)) port = at;
    return port === at;
  };
  const stop = async (how: keyof typeof stopSignals = "fast") => {
    server?.kill(stopSignals[how]);
    await server?.exited;
  };
  whenFileEnds(async () => {
    await stop("immediate");
    rmSync(room.directory, { recursive: true, force: true });
  });
  for (let tries = 0; tries < triesMax && !(await launch(freePort())); tries++) await stop();
  if (port === 0) throw new Error(`Postgres did not start: ${readFileSync(room.log, "utf8").slice(-2_000)}`);
  await createDatabase(port);
  return {
    get port() {
      return port;
    },
    url: (query = "", host = "127.0.0.1") => `postgres://${user}:open@${host}:${port}/fairlead${query}`,
    async start() {
      if (!(await launch(port))) throw new Error("Postgres did not start again");
    },
    stop,
  };
}

/** A port that nobody uses at the moment. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  listener.stop(true);
  return listener.port;
}

const defaults = {
  listen_addresses: "127.0.0.1",
  fsync: "off",
  full_page_writes: "off",
  max_connections: "200",
  jit: "off",
  timezone: "UTC",
};

function makeRoom() {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-tcp-"));
  chmodSync(directory, 0o755);
  const account = chooseAccount(join(directory, "cluster"));
  if (account.ids !== null) chownSync(directory, account.ids.uid, account.ids.gid);
  const binaries = findBinaries(account, directory);
  return { directory, account, binaries, cluster: join(directory, "cluster"), log: join(directory, "log") };
}

async function createCluster(room: ReturnType<typeof makeRoom>, { files = {}, hba }: Options): Promise<void> {
  const output = openSync(room.log, "a");
  const words = [room.binaries.initdb, "-D", room.cluster, "-U", user, "--auth=trust", "--locale=C", "--no-sync"];
  const initdb = spawnAs(room.account, words, output);
  closeSync(output);
  if ((await initdb.exited) !== 0) throw new Error(`initdb failed: ${readFileSync(room.log, "utf8")}`);
  for (const [name, content] of Object.entries(files)) writeOwned(room.account, join(room.cluster, name), content);
  const own = `host all all 127.0.0.1/32 trust\n`;
  writeOwned(room.account, join(room.cluster, "pg_hba.conf"), hba === undefined ? own : `${hba.join("\n")}\n`);
}

/** Postgres insists on keys that nobody else may read. */
function writeOwned(account: Account, path: string, content: string): void {
  writeFileSync(path, content, { mode: 0o600 });
  if (account.ids !== null) chownSync(path, account.ids.uid, account.ids.gid);
}

/** False when it ends instead, such as for its port. */
async function answers(server: Bun.Subprocess, port: number): Promise<boolean> {
  return until(
    "Postgres listens",
    async () => {
      if (server.exitCode !== null || server.signalCode !== null) return "ended";
      return (await isReady(port)) ? "ready" : null;
    },
    { withinMs: 60_000, everyMs: 20 },
  ).then((end) => end === "ready");
}

async function isReady(port: number): Promise<boolean> {
  const sql = connect(port, "postgres");
  try {
    await sql`select 1`;
    return true;
  } catch (fault) {
    // One that lets nobody in like this listens too; one that starts up or is not there does not.
    return fault instanceof postgres.PostgresError && fault.code.startsWith("28");
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Where plain connections are refused the test asks for TLS itself. */
async function createDatabase(port: number): Promise<void> {
  const sql = connect(port, "postgres", "prefer");
  try {
    await sql.unsafe("create database fairlead");
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function connect(port: number, database: string, ssl: "prefer" | false = false): postgres.Sql {
  return postgres({
    host: "127.0.0.1",
    port,
    database,
    username: user,
    max: 1,
    ssl,
    connect_timeout: 3,
    fetch_types: false,
    onnotice: () => undefined,
  });
}

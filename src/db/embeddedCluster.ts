import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type Account, canEnter, spawnAs, userName } from "./embeddedAccount.ts";
import type { Binaries } from "./embeddedBinaries.ts";
import { embeddedUser } from "./embeddedClient.ts";
import { EmbeddedError } from "./embeddedFaults.ts";
import { type Place, socketDirs } from "./embeddedPlace.ts";

/** `durable` for data that must survive the machine; `test` gives up `fsync`, never the order of commits. */
export type Tune = "durable" | "test";

const majorVersion = "18";

/** True when there is a cluster. Throws `EmbeddedError` when it is of another major version. */
export function hasCluster(place: Place): boolean {
  const file = join(place.clusterDir, "PG_VERSION");
  if (!existsSync(file)) return false;
  const version = readFileSync(file, "utf8").trim();
  if (version === majorVersion) return true;
  throw new EmbeddedError(
    `${place.clusterDir} was written by Postgres ${version}, this is ${majorVersion}: load a dump of it into a new DATA_DIR`,
  );
}

/** Writes an empty cluster beside its place and moves it there when it is whole. False when `initdb` failed: see the log. */
export async function createCluster(
  { place, account, binaries, tune }: { place: Place; account: Account; binaries: Binaries; tune: Tune },
  output: number,
): Promise<boolean> {
  refuseForeignFiles(place);
  const draft = `${place.clusterDir}.new`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  if (account.ids) chownSync(draft, account.ids.uid, account.ids.gid);
  const options = ["--locale=C", "--encoding=UTF8", "--auth=peer", "--no-instructions"];
  if (tune === "test") options.push("--no-sync");
  const initdb = spawnAs(account, [binaries.initdb, "-D", draft, "-U", embeddedUser, ...options], output);
  if ((await initdb.exited) !== 0) {
    rmSync(draft, { recursive: true, force: true });
    return false;
  }
  rmSync(place.clusterDir, { recursive: true, force: true });
  renameSync(draft, place.clusterDir);
  return true;
}

/** Gives an existing cluster to the account. Throws `EmbeddedError` when only its owner or root could. */
export function takeCluster(place: Place, account: Account): void {
  const uid = account.ids?.uid ?? process.getuid?.() ?? 0;
  const owner = statSync(place.clusterDir).uid;
  if (owner === uid) return;
  if (process.getuid?.() !== 0) {
    throw new EmbeddedError(
      `${place.clusterDir} belongs to user id ${owner}, and this server runs as ${account.user}: start it as its owner, ` +
        `or give it away with "chown -R ${account.user} ${place.dataDir}"`,
    );
  }
  const gid = account.ids?.gid ?? process.getgid?.() ?? 0;
  Bun.spawnSync(["chown", "-R", `${uid}:${gid}`, place.clusterDir]);
}

/**
 * Writes the settings and who may connect: the user of this server alone, known by its end of the socket. The files
 * are outside of the cluster so that nobody but the server can change them; `ALTER SYSTEM` still wins over them.
 * Returns the arguments for `postgres`.
 */
export function configure(place: Place, account: Account, tune: Tune): string[] {
  const socketDir = makeSocketDir(place, account);
  const settings = { ...baseSettings, ...(tune === "test" ? testSettings : {}), ...fileSettings(place, socketDir) };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  const client = account.prefix.length > 0 ? account.user : userName();
  write(join(place.runDir, "postgresql.conf"), lines);
  write(join(place.runDir, "pg_hba.conf"), ["local all all peer map=server"]);
  write(join(place.runDir, "pg_ident.conf"), [`server "${client}" ${embeddedUser}`]);
  return ["-D", place.clusterDir, "-c", `config_file=${join(place.runDir, "postgresql.conf")}`];
}

/** For two cores and the pool of one or a few servers. Parallel plans and JIT cost more than they give here. */
const baseSettings: Record<string, string> = {
  cluster_name: "fairlead",
  listen_addresses: "",
  unix_socket_permissions: "0700",
  max_connections: "100",
  shared_buffers: "128MB",
  effective_cache_size: "512MB",
  work_mem: "8MB",
  maintenance_work_mem: "64MB",
  random_page_cost: "1.1",
  io_method: "sync",
  jit: "off",
  max_parallel_workers_per_gather: "0",
  max_parallel_maintenance_workers: "0",
  fsync: "on",
  synchronous_commit: "on",
  wal_level: "minimal",
  max_wal_senders: "0",
  wal_buffers: "16MB",
  min_wal_size: "256MB",
  max_wal_size: "1GB",
  checkpoint_timeout: "10min",
  autovacuum_naptime: "15s",
  autovacuum_vacuum_cost_limit: "2000",
  // Statement errors reach the caller; in the log, which nobody rotates, they would only add up.
  log_min_messages: "log",
  log_checkpoints: "off",
  log_timezone: "UTC",
  timezone: "UTC",
};

const testSettings: Record<string, string> = {
  fsync: "off",
  full_page_writes: "off",
  max_connections: "300",
  checkpoint_timeout: "1h",
};

function fileSettings(place: Place, socketDir: string): Record<string, string> {
  return {
    unix_socket_directories: `"${socketDir.replaceAll('"', '""')}"`,
    hba_file: join(place.runDir, "pg_hba.conf"),
    ident_file: join(place.runDir, "pg_ident.conf"),
  };
}

function makeSocketDir(place: Place, account: Account): string {
  const usable = socketDirs(place).find(
    (directory) => directory === place.clusterDir || !account.ids || canEnter(dirname(directory), account.ids),
  );
  if (usable === undefined)
    throw new EmbeddedError(`no directory is short enough for a unix socket: set a shorter DATA_DIR`);
  if (usable !== place.clusterDir) makePrivateDir(usable, account);
  return usable;
}

/** The name is known to others who may write in the same place, so one that is there already is looked at, not trusted. */
function makePrivateDir(directory: string, account: Account): void {
  const uid = account.ids?.uid ?? process.getuid?.() ?? 0;
  if (!existsSync(directory)) {
    mkdirSync(directory, { mode: 0o700 });
    if (account.ids) chownSync(directory, account.ids.uid, account.ids.gid);
  }
  const facts = lstatSync(directory);
  if (!facts.isDirectory() || facts.uid !== uid) {
    throw new EmbeddedError(`${directory} belongs to somebody else: remove it, or set a shorter DATA_DIR`);
  }
  chmodSync(directory, 0o700);
}

function refuseForeignFiles(place: Place): void {
  if (!existsSync(place.clusterDir)) return;
  const entries = [...new Bun.Glob("*").scanSync({ cwd: place.clusterDir, onlyFiles: false, dot: true })];
  if (entries.length === 0) return;
  throw new EmbeddedError(
    `${place.clusterDir} has files but is not a Postgres cluster: move it away, or set DATA_DIR to another directory`,
  );
}

function write(path: string, lines: string[]): void {
  writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o644 });
}

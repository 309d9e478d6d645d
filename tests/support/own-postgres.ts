import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { whenFileEnds } from "./ending.ts";
import { until } from "./until.ts";

/** A Postgres of the machine with its client programs: what an operator has, and the packages do not bring. */
export type OwnPostgres = {
  /** Makes an empty database; its URL. */
  create(name: string): Promise<string>;
  /** Runs one of the client programs, such as `pg_dump`; throws with what it said when it fails. */
  tool(name: string, words: string[]): Promise<void>;
};

const tools = ["initdb", "postgres", "pg_dump", "pg_restore"];

/** Where the programs are; null when this machine has none. */
export function findPostgres(): string | null {
  const parent = "/usr/lib/postgresql";
  const versions = existsSync(parent) ? readdirSync(parent).sort((one, other) => Number(other) - Number(one)) : [];
  const directories = versions.map((version) => join(parent, version, "bin"));
  return directories.find((directory) => tools.every((tool) => existsSync(join(directory, tool)))) ?? null;
}

/** Starts a new cluster on a free port of loopback. It ends, and its files go, at the end of the test file. */
export async function startOwnPostgres(programs: string): Promise<OwnPostgres> {
  const account = accountOf("postgres");
  const home = mkdtempSync(join(tmpdir(), "fairlead-own-postgres-"));
  const clusterDir = join(home, "cluster");
  mkdirSync(clusterDir, { mode: 0o700 });
  if (account !== null) for (const path of [home, clusterDir]) chownSync(path, account.uid, account.gid);
  const run = (name: string, words: string[]) =>
    Bun.spawn([join(programs, name), ...words], { ...account, cwd: home, stdout: "ignore", stderr: "pipe" });
  const tool: OwnPostgres["tool"] = async (name, words) => {
    const child = run(name, words);
    const said = await child.stderr.text();
    if ((await child.exited) !== 0) throw new Error(`${name} ${words.join(" ")}: ${said}`);
  };
  await tool("initdb", ["--pgdata", clusterDir, "--username=fairlead", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
  const port = freePort();
  const options = ["fsync=off", "listen_addresses=127.0.0.1", `unix_socket_directories=${home}`, `port=${port}`];
  const server = run("postgres", ["-D", clusterDir, ...options.flatMap((option) => ["-c", option])]);
  whenFileEnds(async () => {
    server.kill("SIGINT");
    await server.exited;
    rmSync(home, { recursive: true, force: true });
  });
  const urlOf = (database: string) => `postgres://fairlead@127.0.0.1:${port}/${database}`;
  const sql = postgres(urlOf("postgres"), { max: 1, onnotice: () => undefined });
  whenFileEnds(() => sql.end({ timeout: 5 }));
  await until("the machine's Postgres answers", () => sql`select 1`.catch(() => null), { withinMs: 60_000 });
  return {
    tool,
    async create(name) {
      await sql`create database ${sql(name)}`;
      return urlOf(name);
    },
  };
}

/** Postgres refuses to run as root; null for everybody else. */
function accountOf(name: string): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`there is no account ${name}`);
  return { uid: Number(uid), gid: Number(gid) };
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

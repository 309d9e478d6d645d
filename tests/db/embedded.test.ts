import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { type Embedded, startEmbedded } from "../../src/db/embedded.ts";
import { silentLog } from "../../src/log.ts";

const log = silentLog();
const isRoot = process.getuid?.() === 0;
const cleanups: (() => Promise<void> | void)[] = [];

setDefaultTimeout(60_000);

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Writing the files of a new cluster takes most of a start; tests of something else begin with a copy of these. */
const original = mkdtempSync(join(tmpdir(), "fairlead-embedded-"));

beforeAll(async () => {
  const embedded = await startEmbedded({ dataDir: original, log, tune: "test" });
  await embedded.stop();
});

afterAll(() => rmSync(original, { recursive: true, force: true }));

describe("the embedded Postgres", () => {
  test("listens on a private unix socket alone and keeps what is committed", async () => {
    const dataDir = newDataDir();
    const embedded = await start(dataDir, "durable");
    const settings = await select(
      embedded,
      (sql) => sql<{ name: string; setting: string }[]>`
      select name, setting from pg_settings
      where name in ('listen_addresses', 'fsync', 'synchronous_commit', 'server_encoding', 'full_page_writes')`,
    );
    expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
      listen_addresses: "",
      fsync: "on",
      full_page_writes: "on",
      server_encoding: "UTF8",
      synchronous_commit: "on",
    });
    expect(statSync(join(dataDir, "postgres")).mode & 0o777).toBe(0o700);
    expect(statSync(embedded.host).mode & 0o777).toBe(0o700);
  });

  test("in its test tune still commits in order", async () => {
    const embedded = await start(copiedDataDir());
    const [row] = await select(
      embedded,
      (sql) => sql`select current_setting('fsync') as fsync, current_setting('synchronous_commit') as sync`,
    );
    expect(row).toEqual({ fsync: "off", sync: "on" });
  });

  test("keeps rows over a stop and a start, and stops only once", async () => {
    const dataDir = copiedDataDir();
    const first = await start(dataDir);
    const pid = postmasterPid(dataDir);
    await select(first, (sql) => sql`create table kept as select 7 as n`);
    await Promise.all([first.stop(), first.stop()]);
    expect(isAlive(pid)).toBe(false);
    const second = await start(dataDir);
    expect(await select(second, (sql) => sql`select n from kept`)).toMatchObject([{ n: 7 }]);
  });

  test("is shared by two holders and ends with the last", async () => {
    const dataDir = copiedDataDir();
    const [first, second] = await Promise.all([start(dataDir), start(dataDir)]);
    const pid = postmasterPid(dataDir);
    await first.stop();
    expect(await select(second, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
    expect(postmasterPid(dataDir)).toBe(pid);
    await second.stop();
    expect(isAlive(pid)).toBe(false);
  });

  test("started by several processes at once is one Postgres", async () => {
    const dataDir = newDataDir();
    const holders = [spawnHolder(dataDir), spawnHolder(dataDir), spawnHolder(dataDir)];
    const hosts = await Promise.all(holders.map((holder) => holder.ready));
    expect(new Set(hosts.map(({ host }) => host)).size).toBe(1);
    const pid = postmasterPid(dataDir);
    await Promise.all(holders.map((holder) => holder.giveBack()));
    expect(isAlive(pid)).toBe(false);
  });

  test("outlives a killed server, is found by the next, which alone then holds it", async () => {
    const dataDir = copiedDataDir();
    const holder = spawnHolder(dataDir);
    await holder.ready;
    const pid = postmasterPid(dataDir);
    await holder.kill();
    expect(isAlive(pid)).toBe(true);
    const next = await start(dataDir);
    expect(postmasterPid(dataDir)).toBe(pid);
    expect(await select(next, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
    await next.stop();
    expect(isAlive(pid)).toBe(false);
  });

  test("recovers what was committed when it was killed itself", async () => {
    const dataDir = copiedDataDir();
    const first = await start(dataDir);
    await select(first, (sql) => sql`create table kept as select generate_series(1, 1000) as n`);
    process.kill(postmasterPid(dataDir), "SIGKILL");
    const second = await start(dataDir);
    expect(await select(second, (sql) => sql`select count(*)::int as n from kept`)).toMatchObject([{ n: 1000 }]);
    await first.stop();
    expect(await select(second, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
  });

  test("that was killed comes back by itself at the same address", async () => {
    const dataDir = copiedDataDir();
    const { host, database, username } = await start(dataDir);
    const sql = postgres({ host, database, username, max: 1, onnotice: () => undefined });
    cleanups.push(() => sql.end({ timeout: 1 }));
    await sql`create table kept as select 7 as n`;
    const pid = postmasterPid(dataDir);
    process.kill(pid, "SIGKILL");
    const rows = await eventually("rows of another Postgres", async () => {
      const hasPidFile = existsSync(join(dataDir, "postgres/postmaster.pid"));
      if (!hasPidFile || postmasterPid(dataDir) === pid) return null;
      return await sql`select n from kept`.catch((fault: Error) => fault);
    });
    expect(rows).toMatchObject([{ n: 7 }]);
  });

  test.each([
    ["that belongs to another program", "echo $$; exec sleep 600"],
    ["that belongs to a zombie", "sleep 0 & echo $!; exec sleep 600"],
  ])("is not kept from starting by a process number %s", async (_name, script) => {
    const dataDir = copiedDataDir();
    const other = Bun.spawn(["/bin/sh", "-c", script], { stdout: "pipe" });
    cleanups.push(() => other.kill("SIGKILL"));
    const pid = Number(await firstLine(other.stdout));
    const pidFile = join(dataDir, "postgres/postmaster.pid");
    writeFileSync(pidFile, `${pid}\n${dataDir}/postgres\n1\n5432\n${dataDir}/postgres\n\n\nready   \n`);
    const next = await start(dataDir);
    expect(await select(next, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
    expect(other.exitCode).toBeNull();
  });

  test("begins anew after a start that was cut off while its files were written", async () => {
    const dataDir = newDataDir();
    mkdirSync(join(dataDir, "postgres.new/base"), { recursive: true });
    const embedded = await start(dataDir);
    expect(await select(embedded, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
    expect(existsSync(join(dataDir, "postgres.new"))).toBe(false);
  });

  test("works where the directory's name is too long for a socket", async () => {
    const dataDir = join(newDataDir(), "long".repeat(30));
    const [first, second] = [await start(dataDir), await start(dataDir)];
    cleanups.push(() => rmSync(first.host, { recursive: true, force: true }));
    expect(first.host).not.toStartWith(dataDir);
    expect(statSync(first.host).mode & 0o777).toBe(0o700);
    expect(second.host).toBe(first.host);
    expect(await select(second, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
  });

  test.skipIf(!isRoot)("works for root in a directory that no other user can reach", async () => {
    const closed = newDataDir(0o700);
    const embedded = await start(join(closed, "data")).catch((fault: Error) => fault);
    if (embedded instanceof Error) {
      // Without user namespaces there is no way, and the message has to say what else to do.
      expect(embedded.message).toContain("set DATA_DIR to a directory");
      return;
    }
    expect(await select(embedded, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
    expect(statSync(join(closed, "data/postgres")).uid).toBe(0);
  });

  test.skipIf(!isRoot)("cannot be reached by another user", async () => {
    const embedded = await start(copiedDataDir());
    const socket = join(embedded.host, ".s.PGSQL.5432");
    const see = (ids: object) => Bun.spawn(["/bin/sh", "-c", `test -S ${socket}`], ids).exited;
    expect(await see({})).toBe(0);
    expect(await see({ uid: 12_345, gid: 12_345 })).toBe(1);
  });
});

describe("a start that cannot work", () => {
  test("refuses files that are no cluster and leaves them alone", async () => {
    const dataDir = newDataDir();
    mkdirSync(join(dataDir, "postgres"));
    writeFileSync(join(dataDir, "postgres/notes.txt"), "mine");
    expect(start(dataDir)).rejects.toThrow("is not a Postgres cluster: move it away");
    expect(readFileSync(join(dataDir, "postgres/notes.txt"), "utf8")).toBe("mine");
  });

  test("names the major version that wrote the files", async () => {
    const dataDir = newDataDir();
    mkdirSync(join(dataDir, "postgres"));
    writeFileSync(join(dataDir, "postgres/PG_VERSION"), "16\n");
    expect(start(dataDir)).rejects.toThrow("was written by Postgres 16");
  });

  test("says that damaged files are damaged, and works once they are whole", async () => {
    const dataDir = copiedDataDir();
    await (await start(dataDir)).stop();
    const control = join(dataDir, "postgres/global/pg_control");
    const whole = readFileSync(control);
    writeFileSync(control, Buffer.alloc(whole.length, 0x55));
    await expect(start(dataDir)).rejects.toThrow(/damaged: put a backup of it back/);
    writeFileSync(control, whole);
    expect(await select(await start(dataDir), (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
  });

  test("names the directory that it cannot make", async () => {
    const file = join(newDataDir(), "file");
    writeFileSync(file, "");
    await expect(start(join(file, "data"))).rejects.toThrow("the embedded Postgres cannot start");
  });
});

function newDataDir(mode = 0o755): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-embedded-"));
  Bun.spawnSync(["chmod", mode.toString(8), directory]);
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function copiedDataDir(): string {
  const directory = newDataDir();
  if (!Bun.spawnSync(["cp", "-a", join(original, "postgres"), directory]).success) throw new Error("cp -a failed");
  return directory;
}

async function start(dataDir: string, tune: "test" | "durable" = "test"): Promise<Embedded> {
  const embedded = await startEmbedded({ dataDir, log, tune });
  cleanups.push(() => embedded.stop());
  return embedded;
}

async function select<T>(embedded: Embedded, ask: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const { host, database, username } = embedded;
  const sql = postgres({ host, database, username, max: 1, onnotice: () => undefined });
  try {
    return await ask(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function eventually<T>(what: string, look: () => Promise<T | Error | null>): Promise<T> {
  let last: T | Error | null = null;
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await Bun.sleep(50)) {
    last = await look();
    if (last !== null && !(last instanceof Error)) return last;
  }
  throw new Error(`waited 30 s for ${what}`, { cause: last });
}

function postmasterPid(dataDir: string): number {
  return Number(readFileSync(join(dataDir, "postgres/postmaster.pid"), "utf8").split("\n")[0]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    // No such process: the ordinary answer.
    return false;
  }
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, "utf8") : "";
  return !stat.includes(") Z ");
}

function spawnHolder(dataDir: string) {
  const program = join(import.meta.dir, "../support/holdPostgres.ts");
  const child = Bun.spawn([process.execPath, program, dataDir], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  cleanups.push(() => child.kill("SIGKILL"));
  return {
    ready: firstLine(child.stdout).then((line) => JSON.parse(line) as { host: string }),
    async giveBack() {
      await child.stdin.end();
      expect(await child.exited).toBe(0);
    },
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let said = "";
  for await (const chunk of stream) {
    said += decoder.decode(chunk, { stream: true });
    const end = said.indexOf("\n");
    if (end >= 0) return said.slice(0, end);
  }
  throw new Error(`the holder ended without a line; it said "${said}"`);
}

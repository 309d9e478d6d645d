import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../../src/db/client.ts";
import { isRunning } from "../../src/db/embeddedPostmaster.ts";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { accepted, ended, submitted, untilRunning } from "./job-calls.ts";
import { root, scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(60_000);

/** A data directory whose Postgres has been set up, to copy: setting one up takes most of a first start. */
const original = scratchDirectory("original");

beforeAll(async () => {
  const server = await spawnServer({ DATA_DIR: original }).ready();
  expect(await server.stop()).toBe(0);
});

describe("a server with its own Postgres", () => {
  test("ends it with itself, and works again on what it left", async () => {
    const dataDir = copiedDataDir();
    const first = await spawnServer({ DATA_DIR: dataDir, NODE_NAME: "same" }).ready();
    const { id } = await submitted(first, { function: "hello", input: { name: "Ada" } });
    const pid = postmasterPid(dataDir);
    expect(await first.stop()).toBe(0);
    expect(isRunning(pid)).toBe(false);
    const second = await spawnServer({ DATA_DIR: dataDir, NODE_NAME: "same" }).ready();
    expect(await (await second.call(`/api/v1/jobs/${id}`)).json()).toMatchObject({ status: "succeeded" });
    expect(await second.stop()).toBe(0);
  });

  test("that is killed leaves it to the next, which ends it", async () => {
    const dataDir = copiedDataDir();
    const first = await spawnServer({ DATA_DIR: dataDir, NODE_NAME: "same" }).ready();
    const pid = postmasterPid(dataDir);
    await first.kill();
    const second = await spawnServer({ DATA_DIR: dataDir, NODE_NAME: "same" }).ready();
    expect(postmasterPid(dataDir)).toBe(pid);
    await submitted(second, { function: "hello" });
    expect(await second.stop()).toBe(0);
    expect(isRunning(pid)).toBe(false);
  });

  test("shares it with a second server on the same directory, and neither's end harms the other", async () => {
    const dataDir = copiedDataDir();
    const first = spawnServer({ DATA_DIR: dataDir });
    const second = spawnServer({ DATA_DIR: dataDir });
    await Promise.all([first.ready(), second.ready()]);
    const { id } = await submitted(first, { function: "hello", input: { name: "Ada" } });
    expect(await (await second.call(`/api/v1/jobs/${id}`)).json()).toMatchObject({ status: "succeeded" });
    const pid = postmasterPid(dataDir);
    expect(await second.stop()).toBe(0);
    expect(postmasterPid(dataDir)).toBe(pid);
    expect(await submitted(first, { script: "echo still here" })).toMatchObject({ status: "succeeded" });
    expect(await first.stop()).toBe(0);
    expect(isRunning(pid)).toBe(false);
  });
});

describe("SIGTERM", () => {
  test("lets what runs end, refuses nothing that was accepted, and exits with 0", async () => {
    const database = await givenDatabase();
    const server = await serverOn(database.url);
    const { id } = await accepted(server, { function: "naps", input: { ms: 1_000 } });
    await untilRunning(server, id);
    expect(await server.stop()).toBe(0);
    expect(await database.sql`select status, attempt from tasks where job_id = ${id}`).toMatchObject([
      { status: "succeeded", attempt: 1 },
    ]);
  });

  test("twice ends at once", async () => {
    const database = await givenDatabase();
    const server = await serverOn(database.url);
    const { id } = await accepted(server, { function: "countdown", input: { from: 60 } });
    await untilRunning(server, id);
    server.signal("SIGTERM");
    await until("the server drains", async () => (await server.call("/readyz").catch(() => null))?.status !== 200);
    server.signal("SIGTERM");
    expect(await server.exited).toBe(1);
  });

  test("during the start ends the server after it, with its Postgres", async () => {
    const dataDir = copiedDataDir();
    const server = spawnServer({ DATA_DIR: dataDir });
    await until("Postgres is up", () => existsSync(join(dataDir, "postgres/postmaster.pid")), { withinMs: 30_000 });
    const pid = postmasterPid(dataDir);
    expect(await server.stop()).toBe(0);
    expect(isRunning(pid)).toBe(false);
  });

  test("returns what does not end within the grace to the queue, uncharged", async () => {
    const database = await givenDatabase();
    const server = await serverOn(database.url, { DRAIN_GRACE: "1" });
    const { id } = await accepted(server, { function: "countdown", input: { from: 60 } });
    await untilRunning(server, id);
    expect(await server.stop()).toBe(0);
    const [task] = await database.sql`select status, attempt from tasks where job_id = ${id}`;
    expect(task).toMatchObject({ status: "queued", attempt: 0 });
  });
});

describe("a server that cannot start says why in words and ends:", () => {
  test("its port is taken, by one of the same name that goes on working", async () => {
    const database = await givenDatabase();
    const first = await serverOn(database.url, { NODE_NAME: "twin" });
    const port = new URL(first.url).port;
    const { id } = await accepted(first, { function: "naps", input: { ms: 1_000 } });
    await untilRunning(first, id);
    const lines = await refused({ DATABASE_URL: database.url, PORT: port, NODE_NAME: "twin" });
    expect(lines).toEqual([expect.stringContaining(`Port ${port} on 127.0.0.1 is taken`)]);
    expect(await ended(first, id)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await submitted(first, { function: "greet" })).toMatchObject({ status: "succeeded" });
  });

  test("the balancer's port is taken", async () => {
    const database = await givenDatabase();
    await using other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
    const lines = await refused({ DATABASE_URL: database.url, WEBSOCKET_PORT: String(other.port) });
    expect(lines).toEqual([expect.stringMatching(/^Port \d+ on 127.0.0.1 is taken.*WEBSOCKET_PORT/)]);
  });

  test("settings are wrong, all of them at once", async () => {
    const lines = await refused({ PORT: "http", SLOTS: "0", SANDBOX: "maybe" }, 2);
    expect(lines.slice(1).map((line) => line.trim().split(" ")[0])).toEqual(["PORT", "SLOTS", "SANDBOX"]);
  });

  test("nothing listens where the database should be, without the password", async () => {
    const lines = await refused({ DATABASE_URL: "postgres://me:hush@127.0.0.1:9/db" });
    expect(lines).toEqual([expect.stringMatching(/DATABASE_URL cannot be used: .*ECONNREFUSED/)]);
    expect(lines.join()).not.toContain("hush");
  });

  test("the database is empty", async () => {
    const { sql, address } = await givenDatabase();
    const name = `${address.database}_empty`;
    await sql.unsafe(`create database ${name}`);
    const url = `postgres://${address.username}@localhost/${name}?host=${encodeURIComponent(address.host)}`;
    expect(await refused({ DATABASE_URL: url })).toEqual([expect.stringContaining('run "fairlead migrate" first')]);
    await sql.unsafe(`drop database ${name} with (force)`);
  });

  test("the database is of a newer version", async () => {
    const { sql, url } = await givenDatabase();
    await sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('later', ${Date.now() + 1e9})`;
    expect(await refused({ DATABASE_URL: url })).toEqual([expect.stringContaining("newer version of Fairlead")]);
  });

  test("the embedded database is of a newer version", async () => {
    const dataDir = copiedDataDir();
    const server = await spawnServer({ DATA_DIR: dataDir }).ready();
    const host = readFileSync(join(dataDir, "postgres/postmaster.pid"), "utf8").split("\n")[4] ?? "";
    const db = openDatabase({ host, database: "fairlead", username: "fairlead" });
    await db.sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('later', ${Date.now() + 1e9})`;
    await db.close();
    expect(await server.stop()).toBe(0);
    const lines = await refused({ DATA_DIR: dataDir });
    expect(lines).toContainEqual(expect.stringContaining("newer version of Fairlead"));
    expect(existsSync(join(dataDir, "postgres/postmaster.pid"))).toBe(false);
  });
});

test("a function file that does not parse is named with its line, and the others are served", async () => {
  const database = await givenDatabase();
  const functions = join(scratchDirectory("functions"), "functions");
  mkdirSync(functions);
  cpSync(join(supportFunctions, "greet.ts"), join(functions, "greet.ts"));
  writeFileSync(join(functions, "broken.ts"), "export default {\n  params: {},\n  handler( { return 1 }\n};\n");
  const server = await serverOn(database.url, { FUNCTIONS_DIR: functions });
  expect(server.said().join("\n")).toMatch(/broken\.ts.*\b3\b/);
  expect(await submitted(server, { function: "greet" })).toMatchObject({ status: "succeeded" });
  const refusedTask = await server.post("/task", { function: "broken" });
  expect(refusedTask.status).toBe(404);
});

async function serverOn(databaseUrl: string, more: Record<string, string> = {}): Promise<ServerProcess> {
  return spawnServer({
    DATA_DIR: scratchDirectory("data"),
    DATABASE_URL: databaseUrl,
    FUNCTIONS_DIR: supportFunctionsAnd("countdown"),
    ...more,
  }).ready();
}

let mixed: string | undefined;

/** The functions of the tests, and one of the samples. */
function supportFunctionsAnd(sample: string): string {
  if (mixed !== undefined) return mixed;
  mixed = scratchDirectory("functions");
  cpSync(supportFunctions, mixed, { recursive: true });
  const text = readFileSync(join(root, `functions/${sample}.ts`), "utf8");
  writeFileSync(
    join(mixed, `${sample}.ts`),
    text.replace('"fairlead"', JSON.stringify(join(root, "src/functions.ts"))),
  );
  return mixed;
}

/** Starts a server that must not start; returns what it said to people, without its log. */
async function refused(environment: Record<string, string>, exitCode = 1): Promise<string[]> {
  const server = spawnServer({ DATA_DIR: scratchDirectory("data"), ...environment });
  expect(await server.exited).toBe(exitCode);
  await until("all is read", () => server.said().length > 0);
  return server.said().filter((line) => !line.startsWith("{"));
}

function copiedDataDir(): string {
  const directory = scratchDirectory("data");
  const copied = Bun.spawnSync(["cp", "-a", `${original}/.`, directory]);
  if (!copied.success) throw new Error(`could not copy: ${copied.stderr.toString()}`);
  return directory;
}

function postmasterPid(dataDir: string): number {
  return Number(readFileSync(join(dataDir, "postgres/postmaster.pid"), "utf8").split("\n")[0]);
}

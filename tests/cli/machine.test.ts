import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeJwt } from "jose";
import postgres from "postgres";
import { openCluster } from "../support/cluster.ts";
import { testDatabase } from "../support/database.ts";
import { startService } from "../support/service.ts";
import { cli, scratch } from "./cli.ts";

setDefaultTimeout(90_000);

const emptyName = `t_machine_empty_${process.pid}`;
const cluster = await openCluster();
const administer = postgres({ ...cluster.address, max: 1, onnotice: () => undefined });
afterAll(async () => {
  await administer.unsafe(`drop database if exists ${emptyName} with (force)`);
  await administer.end();
  await cluster.stop();
});

/** A database with nothing in it, not even tables. */
async function emptyDatabase(): Promise<{ environment: Record<string, string>; tables(): Promise<string[]> }> {
  await administer.unsafe(`drop database if exists ${emptyName} with (force)`);
  await administer.unsafe(`create database ${emptyName} template template0`);
  const { host, username } = cluster.address;
  return {
    environment: {
      DATABASE_URL: `postgres:///${emptyName}`,
      PGHOST: host,
      PGUSER: username,
      DATA_DIR: scratch("machine"),
    },
    async tables() {
      const sql = postgres({ ...cluster.address, database: emptyName, max: 1 });
      const rows = await sql<{ name: string }[]>`
        SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`;
      await sql.end();
      return rows.map(({ name }) => name);
    },
  };
}

describe("migrate", () => {
  test("--plan prints the SQL for an empty database and changes nothing; migrate applies it, and then nothing is left", async () => {
    const { environment, tables } = await emptyDatabase();
    const plan = await cli(["migrate", "--plan"], { environment });
    expect({ code: plan.code, err: plan.err }).toEqual({ code: 0, err: "" });
    expect(plan.out).toContain('CREATE TABLE "jobs"');
    expect(plan.out).toContain("CREATE SCHEMA IF NOT EXISTS pgboss");
    expect(await tables()).toEqual([]);
    const refused = await cli(["serve"], { environment: { ...environment, PORT: "0", WEBSOCKET_PORT: "0" } });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('is empty: run "fairlead migrate" first');
    expect(await cli(["migrate"], { environment })).toMatchObject({
      code: 0,
      err: "The database has been migrated.\n",
    });
    expect(await tables()).toContain("public.jobs");
    expect(await cli(["migrate", "--plan"], { environment })).toEqual({
      code: 0,
      out: "",
      err: "Nothing to do: the database is at this version.\n",
    });
    expect(await cli(["migrate"], { environment })).toMatchObject({ err: "The database is at this version.\n" });
  });

  test("--plan of an embedded database that was never started leaves nothing behind", async () => {
    const dataDir = join(scratch("machine"), "data");
    const { code, out } = await cli(["migrate", "--plan"], { environment: { DATA_DIR: dataDir } });
    expect(code).toBe(0);
    expect(out).toContain('CREATE TABLE "jobs"');
    expect(existsSync(dataDir)).toBe(false);
  });

  test("says in one line that the database is not there", async () => {
    const { code, err } = await cli(["migrate"], { environment: { DATABASE_URL: "postgres://nobody@127.0.0.1:9/x" } });
    expect(code).toBe(1);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
    expect(err).toContain("127.0.0.1:9");
  });
});

describe("doctor", () => {
  const names = [
    "settings",
    "database",
    "schema",
    "nodes",
    "sandbox",
    "chromium",
    "containers",
    "clock",
    "disk",
    "files",
  ];

  test("looks at everything, and leaves a running service alone", async () => {
    const database = await testDatabase();
    const dataDir = scratch("machine");
    mkdirSync(join(dataDir, "sandbox"));
    writeFileSync(join(dataDir, "sandbox/of-a-run"), "");
    const environment = { ...database.environment, DATA_DIR: dataDir, SANDBOX: "none" };
    const { code, out } = await cli(["doctor", "--json"], { environment });
    const checks: { name: string; state: string; fix?: string }[] = JSON.parse(out);
    expect(checks.map(({ name }) => name)).toEqual(names);
    const stateOf = (name: string) => checks.find((check) => check.name === name)?.state;
    for (const name of ["settings", "database", "schema", "clock"]) expect([name, stateOf(name)]).toEqual([name, "ok"]);
    expect(stateOf("sandbox")).toBe("warn");
    for (const check of checks) if (check.state !== "ok") expect(check.fix).toBeString();
    expect(code).toBe(checks.some(({ state }) => state === "failed") ? 1 : 0);
    expect(readdirSync(dataDir, { recursive: true }).toSorted()).toEqual(["sandbox", "sandbox/of-a-run"]);
  });

  test("ends with 1 and the fix when the schema is missing", async () => {
    const { environment } = await emptyDatabase();
    const { code, out } = await cli(["doctor"], { environment });
    expect(code).toBe(1);
    expect(out).toMatch(/^failed +schema +is not there\n +fix: run `fairlead migrate`/m);
  });

  test("ends with 1 when the database cannot be reached", async () => {
    const environment = { DATABASE_URL: "postgres://nobody@127.0.0.1:9/x", DATA_DIR: scratch("machine") };
    const { code, out } = await cli(["doctor"], { environment });
    expect(code).toBe(1);
    expect(out).toMatch(/^failed +database .*127\.0\.0\.1:9\n +fix: start Postgres/m);
  });

  test("tells every setting that cannot be used", async () => {
    const { code, out } = await cli(["doctor"], { environment: { PORT: "no", SLOTS: "0" } });
    expect(code).toBe(1);
    expect(out).toMatch(/^failed +settings +PORT must be/m);
    expect(out).toMatch(/^failed +settings +SLOTS must be/m);
  });

  test("names a browser and an engine that were asked for and are not there", async () => {
    const program = join(scratch("machine"), "not-a-browser");
    writeFileSync(program, "#!/bin/sh\nexit 3\n", { mode: 0o755 });
    const environment = { DATABASE_URL: "postgres://nobody@127.0.0.1:9/x", CHROMIUM_PATH: program };
    const { out } = await cli(["doctor"], {
      environment: { ...environment, DOCKER_HOST: "unix:///nowhere/docker.sock" },
    });
    expect(out).toMatch(/^failed +chromium .*not-a-browser does not start \(exit 3\)/m);
    expect(out).toMatch(/^failed +containers .*unix:\/\/\/nowhere\/docker\.sock/m);
  });
});

test("openapi prints what a service serves, without a database", async () => {
  const service = await startService();
  const served = await (await service.call("/openapi")).json();
  await service.stop();
  const { code, out } = await cli(["openapi"], { environment: { DATABASE_URL: "postgres://nobody@127.0.0.1:9/x" } });
  expect(code).toBe(0);
  expect(JSON.parse(out)).toEqual(served);
});

test("token --issuer-dev makes one that /api/v1/submit takes with the same data directory, and that runs the job once", async () => {
  const dataDir = scratch("machine");
  const service = await startService({ DATA_DIR: dataDir });
  const environment = { FAIRLEAD_URL: service.url };
  const submitted = await cli(["submit", "hello", "--hold", "--id", "20261122-ab12"], { environment });
  expect(submitted.out).toBe("20261122-ab12\n");
  const made = await cli(["token", "--issuer-dev", "--sub", "me", "--ttl", "10m"], {
    environment: { DATA_DIR: dataDir },
  });
  expect(made).toMatchObject({ code: 0, err: "" });
  const { sub, exp = 0, iat = 0 } = decodeJwt(made.out.trim());
  expect({ sub, lifetimeS: exp - iat }).toEqual({ sub: "me", lifetimeS: 600 });
  const answer = await service.post(
    "/api/v1/submit",
    { execution_id: "20261122-ab12" },
    {
      authorization: `Bearer ${made.out.trim()}`,
    },
  );
  expect(answer.status).toBe(202);
  expect(await answer.json()).toEqual({ accepted: true, job: "20261122-ab12", jwt_sub: "me" });
  expect(await cli(["job", "20261122-ab12", "--wait"], { environment })).toMatchObject({ code: 0 });
  await service.stop();
});

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { migrate, migrationPlan } from "../../src/app-migrate.ts";
import { loadConfig } from "../../src/config.ts";
import { backendProblem } from "../../src/queue/backend.ts";
import { givenDatabase } from "./given-database.ts";
import { submitted } from "./job-calls.ts";
import { scratchDirectory, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(60_000);

const stock = "PostgreSQL 18.4 on x86_64-pc-linux-gnu";
const yugabyte = "PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu";
const cockroach = "CockroachDB CCL v25.2.0 (x86_64-pc-linux-gnu)";

describe("a database and a backend", () => {
  test.each([
    ["postgres", stock],
    ["citus", stock],
    ["yugabytedb", stock],
    ["yugabytedb", yugabyte],
  ] as const)("go together: %s and %s", (backend, version) => {
    expect(backendProblem(backend, { version, hasLocks: true })).toBeNull();
  });

  test.each([
    ["cockroachdb", stock, true, "Use PostgreSQL"],
    ["postgres", cockroach, true, "Use PostgreSQL"],
    ["postgres", yugabyte, true, "set QUEUE_BACKEND=yugabytedb"],
    ["yugabytedb", yugabyte, false, "ysql_yb_enable_advisory_locks"],
  ] as const)("do not: %s and %s, locks %p", (backend, version, hasLocks, fix) => {
    expect(backendProblem(backend, { version, hasLocks })).toContain(fix);
  });
});

test("a backend needs a database that was given", () => {
  expect(() => loadConfig({ QUEUE_BACKEND: "citus" })).toThrow(/QUEUE_BACKEND is citus.*set DATABASE_URL/);
  expect(() => loadConfig({ QUEUE_BACKEND: "oracle" })).toThrow(/must be one of postgres, citus/);
});

test.each(["citus", "yugabytedb"])(
  "the schema that suits %s is installed, planned for, and worked on",
  async (backend) => {
    const url = await emptyDatabase();
    const config = loadConfig({ DATABASE_URL: url, QUEUE_BACKEND: backend, DATA_DIR: scratchDirectory("data") });
    const plan = (await migrationPlan(config)).join("\n");
    // Where tables cannot be partitioned as pg-boss does it, its plan has none of it.
    expect(plan.split("Schema of pg-boss")[1]?.includes("PARTITION BY")).toBe(backend === "citus");
    expect(await migrate(config)).toBe("missing");
    expect(await migrationPlan(config)).toEqual([]);
    const environment = {
      DATABASE_URL: url,
      QUEUE_BACKEND: backend,
      FUNCTIONS_DIR: supportFunctions,
      NODE_TAGS: "gpu",
    };
    const server = await spawnServer({ ...environment, DATA_DIR: scratchDirectory("data"), SLOTS: "2" }).ready();
    const jobs = await Promise.all(
      Array.from({ length: 12 }, (_, at) =>
        submitted(server, {
          function: "naps",
          input: { ms: 50 },
          ...(at % 2 === 0 ? {} : { requires: { tags: ["gpu"] } }),
          ...(at % 3 === 0 ? { concurrency: { key: "k", max: 1 } } : {}),
        }),
      ),
    );
    expect(jobs.filter(({ status }) => status !== "succeeded")).toEqual([]);
    expect(await server.stop()).toBe(0);
  },
);

test("CockroachDB is refused with the reasons, at the start and by migrate", async () => {
  const url = await emptyDatabase();
  const config = loadConfig({ DATABASE_URL: url, QUEUE_BACKEND: "cockroachdb", DATA_DIR: scratchDirectory("data") });
  await expect(migrate(config)).rejects.toThrow(/CockroachDB cannot hold .* advisory locks/);
  await expect(migrationPlan(config)).rejects.toThrow("CockroachDB cannot hold");
  const server = spawnServer({ DATABASE_URL: url, QUEUE_BACKEND: "cockroachdb", DATA_DIR: scratchDirectory("data") });
  expect(await server.exited).toBe(1);
});

async function emptyDatabase(): Promise<string> {
  const { sql, address } = await givenDatabase();
  const name = `${address.database}_${crypto.randomUUID().slice(0, 4)}`;
  await sql.unsafe(`create database ${name}`);
  return `postgres://${address.username}@localhost/${name}?host=${encodeURIComponent(address.host)}`;
}

import { expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(90_000);

const callsAround = 20;

test("a node goes on while a newer version adds columns and tables, and one that starts after that refuses", async () => {
  const { sql, url } = await givenDatabase();
  const settings = { DATABASE_URL: url, FUNCTIONS_DIR: supportFunctions, DATA_DIR: scratchDirectory("data") };
  const server = await spawnServer({ ...settings, SLOTS: "4" }).ready();
  const answers: number[] = [];
  let isOver = false;
  const callers = Promise.all(
    Array.from({ length: 3 }, async () => {
      while (!isOver) answers.push(...(await useEverything(server)));
    }),
  );
  // Each connection has prepared its statements before the tables change under them.
  await until("it is under load", () => answers.length >= callsAround, { withinMs: 60_000 });
  for (const table of await tablesOf(sql)) await sql.unsafe(`ALTER TABLE ${table} ADD COLUMN of_a_newer_version text`);
  await sql`CREATE TABLE things_of_a_newer_version (id bigint PRIMARY KEY, job_id text)`;
  await sql`INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('later', ${Date.now() + 1e9})`;
  const before = answers.length;
  await until("it went on for a while", () => answers.length >= before + 2 * callsAround, { withinMs: 60_000 });
  isOver = true;
  await callers;
  expect(answers.filter((status) => status >= 300)).toEqual([]);
  expect(server.said().filter((line) => /"level":"(warn|error)"/.test(line))).toEqual([]);
  const newcomer = spawnServer({ ...settings, NODE_NAME: "newcomer" });
  expect(await newcomer.exited).toBe(1);
  await until("its words are read", () => newcomer.said().some((line) => line.includes("newer version of Fairlead")));
  expect((await server.call("/readyz")).status).toBe(200);
  expect(await server.stop()).toBe(0);
  const [unended] = await sql`SELECT count(*)::int AS n FROM jobs WHERE finished_at IS NULL`;
  expect(unended).toEqual({ n: 0 });
});

/** What a client may ask for; the statuses of the answers. */
async function useEverything(server: ServerProcess): Promise<number[]> {
  const id = crypto.randomUUID();
  const body = { id, function: "greet", concurrency: { key: "few", max: 2 } };
  const task = { function: "greet", input: {}, contract: 1, mode: "sync" };
  const calls = [
    () => server.post("/api/v1/jobs", body, { prefer: "wait=30" }),
    () => server.post("/task", task),
    () => server.post("/api/v1/jobs", { script: "echo done" }, { prefer: "wait=30" }),
    () => server.call(`/api/v1/jobs/${id}`),
    () => server.call(`/api/v1/jobs/${id}/events`),
    () => server.call("/api/v1/jobs?limit=5"),
    () => server.call("/api/v1/queues"),
    () => server.call("/api/v1/nodes"),
  ];
  const statuses: number[] = [];
  for (const call of calls) {
    const response = await call();
    await response.arrayBuffer();
    statuses.push(response.status);
  }
  return statuses;
}

/** All of ours, without the partitions, which follow their parents. */
async function tablesOf(sql: Awaited<ReturnType<typeof givenDatabase>>["sql"]): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition ORDER BY 1`;
  return rows.map(({ name }) => name);
}

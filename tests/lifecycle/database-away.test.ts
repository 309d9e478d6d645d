import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openDatabaseProxy } from "../support/database-proxy.ts";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { accepted, ended, type Job, submitted, untilRunning } from "./job-calls.ts";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(90_000);

test("an embedded Postgres that is killed is away for a moment, and nothing that was accepted is lost", async () => {
  const dataDir = scratchDirectory("data");
  const server = await spawnServer({ DATA_DIR: dataDir, FUNCTIONS_DIR: supportFunctions, SLOTS: "2" }).ready();
  const jobs: Job[] = [];
  for (let at = 0; at < 6; at++) jobs.push(await accepted(server, { function: "naps", input: { ms: 700 } }));
  await untilRunning(server, jobs[0]?.id ?? "");
  const pid = postmasterPid(dataDir);
  process.kill(pid, "SIGKILL");
  const statuses = new Map<number, number>();
  await until(
    "it takes jobs again",
    async () => {
      const response = await server.post("/api/v1/jobs", { function: "greet" });
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      if (response.status !== 202) return false;
      jobs.push((await response.json()) as Job);
      return postmasterPid(dataDir) !== pid;
    },
    { withinMs: 30_000, everyMs: 20 },
  );
  expect([...statuses.keys()].filter((status) => ![202, 503].includes(status))).toEqual([]);
  for (const { id } of jobs) expect(await ended(server, id)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(await server.stop()).toBe(0);
});

describe("while its database is away, a server", () => {
  test("says so in the words of each protocol, records what ends meanwhile, and goes on when it is back", async () => {
    const database = await givenDatabase();
    await using proxy = await openDatabaseProxy(database.address);
    const { host, database: name, username } = proxy.address;
    const server = await spawnServer({
      DATA_DIR: scratchDirectory("data"),
      DATABASE_URL: `postgres://${username}@localhost/${name}?host=${encodeURIComponent(host)}`,
      FUNCTIONS_DIR: supportFunctions,
      SLOTS: "1",
    }).ready();
    const running = await accepted(server, { function: "naps", input: { ms: 800 } });
    await untilRunning(server, running.id);
    const waiting = await accepted(server, { function: "greet", input: { name: "Ada" } });
    const held = server.post("/task", { function: "greet", input: { name: "Bob" } });
    await until("three are accepted", async () => (await database.sql`select 1 from jobs`).length === 3);
    proxy.cut();
    await until("it is noticed", async () => (await server.call("/readyz")).status === 503);
    const outage = Bun.sleep(3_000);
    while (!(await isOver(outage))) await expectRefusals(server);
    await proxy.restore();
    await until("it is ready", async () => (await server.call("/readyz")).status === 200, { withinMs: 20_000 });
    expect(await ended(server, running.id)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await ended(server, waiting.id)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await (await held).json()).toEqual({ success: true, result: { message: "Hello Bob!" } });
    expect(await submitted(server, { function: "greet" })).toMatchObject({ status: "succeeded" });
    expect(await database.sql`select 1 from jobs`).toHaveLength(4);
    expect(server.said().filter((line) => line.includes('"event":"fault"'))).toEqual([]);
    expect(await server.stop()).toBe(0);
  });
});

const away = "The database is away for the moment";

async function expectRefusals(server: ServerProcess): Promise<void> {
  const [task, off, job, jobs, submit, retrieve, chain, chains, livez, readyz, health] = await Promise.all([
    server.post("/task", { function: "greet" }),
    server.call("/off", { method: "POST" }),
    server.post("/api/v1/jobs", { function: "greet" }),
    server.call("/api/v1/jobs"),
    server.call("/submit", { method: "POST", body: scriptForm() }),
    server.call("/retrieve/1"),
    server.post("/api/jobs", { containers: ["to-uppercase"], data: { text: "x" } }),
    server.call(`/api/jobs?id=${crypto.randomUUID()}`),
    server.call("/livez"),
    server.call("/readyz"),
    server.call("/health"),
  ]);
  expect(livez?.status).toBe(200);
  expect(readyz?.status).toBe(503);
  expect(health?.status).toBe(503);
  expect(await health?.json()).toMatchObject({ status: "unhealthy", database: "unavailable" });
  for (const response of [task, off]) expect(await told(response)).toEqual([503, { error: away }]);
  for (const response of [job, jobs])
    expect(await told(response)).toMatchObject([503, { type: "/problems/unavailable", status: 503, detail: away }]);
  for (const response of [submit, retrieve]) expect(await told(response)).toEqual([503, away]);
  for (const response of [chain, chains]) expect(await told(response)).toEqual([503, { error: away, params: {} }]);
  expect(task?.headers.get("retry-after")).toBe("2");
}

async function told(response: Response | undefined): Promise<[number | undefined, unknown]> {
  const text = (await response?.text()) ?? "";
  return [response?.status, text.startsWith("{") ? JSON.parse(text) : text];
}

function scriptForm(): FormData {
  const form = new FormData();
  form.append("f", new File(["exit 0"], "run.sh"));
  return form;
}

async function isOver(work: Promise<unknown>): Promise<boolean> {
  return (await Promise.race([work.then(() => true), Bun.sleep(0).then(() => false)])) === true;
}

/** 0 while there is none. */
function postmasterPid(dataDir: string): number {
  try {
    return Number(readFileSync(join(dataDir, "postgres/postmaster.pid"), "utf8").split("\n")[0]);
  } catch {
    // Between the end of one and the start of the next.
    return 0;
  }
}

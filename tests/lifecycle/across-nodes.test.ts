import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { eventsIn, readStream } from "../surfaces/support/event-reader.ts";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { accepted, ended, type Job, untilRunning } from "./job-calls.ts";
import { root, scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(60_000);

const tries = 5;
const functions = scratchDirectory("functions");
for (const directory of [supportFunctions, join(root, "tests/chaos/functions")])
  cpSync(directory, functions, { recursive: true });

let front: ServerProcess;
let back: ServerProcess;
let url: string;
let sql: Awaited<ReturnType<typeof givenDatabase>>["sql"];

beforeAll(async () => {
  ({ sql, url } = await givenDatabase());
  front = serve("front", ["--no-work"]);
  back = serve("back");
  await Promise.all([front.ready(), back.ready()]);
});

afterAll(async () => {
  expect(await Promise.all([front.stop(), back.stop()])).toEqual([0, 0]);
});

describe("of two nodes, one that does no work", () => {
  test("answers a sync caller with what the other made", async () => {
    const task = await front.post("/task", { function: "greet", input: { name: "Ada" }, contract: 1, mode: "sync" });
    expect([task.status, await task.json()]).toEqual([200, { success: true, result: { message: "Hello Ada!" } }]);
    const job = await front.post("/api/v1/jobs", { id: "held", function: "greet" }, { prefer: "wait=30" });
    expect([job.status, await job.json()]).toMatchObject([
      200,
      { status: "succeeded", result: { message: "Hello World!" } },
    ]);
    expect(await nodeOf("held")).toBe("back");
  });

  test("streams the raw output of a function that the other runs", async () => {
    const response = await front.post("/task", {
      function: "greet",
      input: { name: "Bob" },
      contract: 1,
      mode: "stream",
    });
    expect(await response.text()).toBe("Hello Bob!");
  });

  test("tells an error of the other's run in the same words", async () => {
    const task = await front.post("/task", { function: "fails", input: { message: "no" }, contract: 1, mode: "sync" });
    expect([task.status, await task.json()]).toMatchObject([500, { success: false }]);
  });

  test("cancels what the other runs, within a second", async () => {
    const tookMs: number[] = [];
    for (let n = 0; n < tries; n++) {
      const { id } = await accepted(front, { function: "naps", input: { ms: 50_000 }, timeout: 60 });
      await untilRunning(front, id);
      const since = performance.now();
      expect((await front.post(`/api/v1/jobs/${id}/cancel`, {})).status).toBeLessThan(300);
      await until("it is cancelled", async () => (await read(front, id)).status === "cancelled", { everyMs: 5 });
      tookMs.push(performance.now() - since);
      expect(await nodeOf(id)).toBe("back");
    }
    // The tests beside may hold up one of them; without being told the other would ask after three seconds.
    expect(Math.min(...tookMs)).toBeLessThan(1_000);
  });

  test("streams what happens on the other while it happens, from any event on, without a gap", async () => {
    const { id } = await accepted(front, { function: "talk", input: { lines: 10, everyMs: 150 } });
    const stream = `${front.url}/api/v1/jobs/${id}/events`;
    const live = await readStream(stream, {}, (text) => text.includes("line 2"));
    expect((await read(back, id)).status).toBe("running");
    const first = eventsIn(live.text);
    const rest = eventsIn((await readStream(stream, { "last-event-id": String(first.at(-1)?.id ?? 0) })).text);
    const ids = [...first, ...rest].map((event) => event.id);
    expect(ids).toEqual(ids.map((_, at) => at + 1));
    expect(rest.at(-1)).toMatchObject({ event: "completed", data: { status: "succeeded" } });
    expect(eventsIn((await readStream(`${back.url}/api/v1/jobs/${id}/events`, {})).text)).toEqual([...first, ...rest]);
  });

  test("has its jobs wait while the other is away, and answers when it is back", async () => {
    await back.stop();
    const held = front.post("/api/v1/jobs", { id: "patient", function: "greet" }, { prefer: "wait=50" });
    await until("it waits", async () => (await read(front, "patient")).status === "queued");
    back = await serve("back").ready();
    expect(await (await held).json()).toMatchObject({ status: "succeeded" });
    expect(await ended(back, "patient")).toMatchObject({ attempts: 1 });
  });
});

function serve(name: string, words: string[] = []): ServerProcess {
  const settings = { DATABASE_URL: url, FUNCTIONS_DIR: functions, NODE_NAME: name };
  return spawnServer({ ...settings, DATA_DIR: scratchDirectory(name) }, words);
}

async function read(server: ServerProcess, id: string): Promise<Job> {
  return (await (await server.call(`/api/v1/jobs/${id}`)).json()) as Job;
}

async function nodeOf(id: string): Promise<string | undefined> {
  const [run] = await sql<
    { node: string }[]
  >`SELECT node_id AS node FROM runs WHERE job_id = ${id} ORDER BY turn DESC LIMIT 1`;
  return run?.node;
}

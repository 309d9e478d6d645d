import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { accepted, ended, type Job, untilRunning } from "./job-calls.ts";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

setDefaultTimeout(60_000);

/** Time enough for all that is asked of a server meanwhile. */
const napMs = 8_000;

describe("a server that was told to stop while work runs", () => {
  test("says so at /readyz, refuses new work, answers who waits, and ends with 0 after the work", async () => {
    const { server } = await serve();
    const held = server.post("/api/v1/jobs", nap("held"), { prefer: "wait=30" });
    await untilRunning(server, "held");
    const exited = server.stop();
    const readyz = await until("it is no more ready", () => notReady(server));
    expect(await readyz.json()).toMatchObject({ status: "unavailable", checks: { draining: "this node is stopping" } });
    const livez = await server.call("/livez");
    expect([livez.status, livez.headers.get("connection")]).toEqual([200, "close"]);
    const refused = await server.post("/api/v1/jobs", nap("late"));
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(await refused.json()).toMatchObject({ type: "/problems/draining" });
    expect(await (await server.call("/api/v1/jobs/held")).json()).toMatchObject({ status: "running" });
    const answer = await held;
    expect([answer.status, await answer.json()]).toMatchObject([200, { status: "succeeded", attempts: 1 }]);
    expect(await exited).toBe(0);
  });

  test("begins nothing that waits, and leaves it to another", async () => {
    const { server, url } = await serve({ SLOTS: "1" });
    await accepted(server, nap("first", 2_000));
    await untilRunning(server, "first");
    await accepted(server, nap("second", 10));
    expect(await server.stop()).toBe(0);
    const other = await spawnServer({ ...settings(url), NODE_NAME: "other" }).ready();
    expect(await ended(other, "second")).toMatchObject({ status: "succeeded", attempts: 1 });
    const runs = await (await other.call("/api/v1/jobs/first")).json();
    expect(runs).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await other.stop()).toBe(0);
  });

  test("ends streams with the word to come back, at once and for newcomers, and the next server goes on", async () => {
    const { server, url } = await serve({ DRAIN_GRACE: "2" });
    await accepted(server, { ...nap("watched", 60_000), timeout: 90 });
    await untilRunning(server, "watched");
    const before = server.call("/api/v1/jobs/watched/events").then((response) => response.text());
    const exited = server.stop();
    await until("it is no more ready", () => notReady(server));
    const texts = [await before, await (await server.call("/api/v1/jobs/watched/events")).text()];
    for (const text of texts) {
      expect(text).toStartWith("retry: 1000\n\n");
      expect(text).toContain(": the service is stopping");
      expect(text).not.toContain("event: completed");
    }
    expect(await exited).toBe(0);
    const other = await spawnServer({ ...settings(url), NODE_NAME: "other" }).ready();
    await untilRunning(other, "watched");
    await other.post("/api/v1/jobs/watched/cancel", {});
    const rest = await other.call("/api/v1/jobs/watched/events", { headers: { "last-event-id": "2" } });
    const ids = [...(await rest.text()).matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    expect(ids[0]).toBe(3);
    expect(ids).toEqual(ids.map((_, at) => at + 3));
    expect(await (await other.call("/api/v1/jobs/watched")).json()).toMatchObject({ status: "cancelled", attempts: 1 });
    expect(await other.stop()).toBe(0);
  });

  test("tells who waits for what did not end within the grace that it goes on", async () => {
    const { server } = await serve({ DRAIN_GRACE: "1" });
    const held = server.post("/api/v1/jobs", { ...nap("held", 60_000), timeout: 90 }, { prefer: "wait=60" });
    const task = server.post("/task", { function: "naps", input: { ms: 1_400 }, contract: 1, mode: "sync" });
    await untilRunning(server, "held");
    await until(
      "both run",
      async () =>
        ((await (await server.call("/api/v1/jobs?status=running")).json()) as { jobs: Job[] }).jobs.length === 2,
    );
    expect(await server.stop()).toBe(0);
    expect([(await held).status, await (await held).json()]).toMatchObject([202, { status: "queued" }]);
    const answer = await task;
    expect([200, 504]).toContain(answer.status);
  });
});

test("a port with DRAIN_NOTICE goes on answering though nothing runs", async () => {
  const { server } = await serve({ DRAIN_NOTICE: "3" });
  const since = performance.now();
  const exited = server.stop();
  await until("it is no more ready", () => notReady(server));
  expect(await exited).toBe(0);
  expect(performance.now() - since).toBeGreaterThan(2_500);
});

function nap(id: string, ms = napMs) {
  return { id, function: "naps", input: { ms }, timeout: 30 };
}

async function notReady(server: ServerProcess): Promise<Response | null> {
  const response = await server.call("/readyz");
  return response.status === 503 ? response : null;
}

function settings(url: string): Record<string, string> {
  return { DATA_DIR: scratchDirectory("data"), DATABASE_URL: url, FUNCTIONS_DIR: supportFunctions };
}

async function serve(more: Record<string, string> = {}): Promise<{ server: ServerProcess; url: string }> {
  const { url } = await givenDatabase();
  return { server: await spawnServer({ ...settings(url), ...more }).ready(), url };
}

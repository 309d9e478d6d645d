import { describe, expect, test } from "bun:test";
import type { HealthFacts } from "../../src/http/health.ts";
import type { Surface } from "../../src/http/surface.ts";
import { goodKey, openRoom, type RoomOptions, wordySurface } from "./room.ts";

const facts: HealthFacts = { isDatabaseUp: true, isTaskRunning: true, queuedTasks: 3, complaint: null };

function surfaces(...names: string[]): NonNullable<RoomOptions["surfaces"]> {
  return ({ gate }) => names.map((name) => wordySurface(name, gate, (app) => app, ownAnswers(name)));
}

function ownAnswers(name: string): Partial<Surface> {
  const health = () => Response.json({ health: name });
  return name === "infernet" ? { health } : { health, home: () => Response.json({ home: name }) };
}

async function ask(url: string, headers: Record<string, string> = {}) {
  const response = await fetch(url, { headers });
  return { status: response.status, body: await response.json(), headers: response.headers };
}

describe("/health", () => {
  test("of one protocol is its own", async () => {
    await using room = await openRoom({ withoutDemo: true, surfaces: surfaces("opteryx") });
    expect((await ask(`${room.url}/health`)).body).toEqual({ health: "opteryx" });
  });

  test("of several satisfies all", async () => {
    await using room = await openRoom({
      surfaces: surfaces("opteryx", "andera"),
      health: { facts: async () => facts },
    });
    expect((await ask(`${room.url}/health`)).body).toEqual({
      status: "healthy",
      database: "ok",
      task_running: true,
      queued_tasks: 3,
    });
  });

  test("is Andera's when its headers are there and it is mounted", async () => {
    await using room = await openRoom({ surfaces: surfaces("opteryx", "andera") });
    expect((await ask(`${room.url}/health`, { "x-lb-auth": "anything" })).body).toEqual({ health: "andera" });
    expect((await ask(`${room.url}/health`, { authorization: goodKey })).body).toEqual({ health: "andera" });
    await using other = await openRoom({ surfaces: surfaces("opteryx", "infernet") });
    expect((await ask(`${other.url}/health`, { "x-lb-auth": "anything" })).body).toMatchObject({ status: "healthy" });
  });

  test("of several says what is wrong", async () => {
    const late = "Task not finished in the last 15 minutes";
    const states: [Partial<HealthFacts>, Record<string, unknown>][] = [
      [{ isDatabaseUp: false }, { message: "The database does not answer", database: "unavailable" }],
      [{ complaint: late }, { message: late, database: "ok" }],
    ];
    for (const [change, shown] of states) {
      await using room = await openRoom({
        surfaces: surfaces("a"),
        health: { facts: async () => ({ ...facts, ...change }) },
      });
      const answer = await ask(`${room.url}/health`);
      expect(answer).toMatchObject({
        status: 503,
        body: { status: "unhealthy", task_running: true, queued_tasks: 3, ...shown },
      });
    }
  });
});

describe("/", () => {
  const html = { accept: "text/html,application/xhtml+xml" };
  const page = () => Response.json({ page: true });

  test("of one protocol is its own", async () => {
    await using room = await openRoom({ withoutDemo: true, surfaces: surfaces("orchestrator"), health: { page } });
    expect((await ask(`${room.url}/`, html)).body).toEqual({ home: "orchestrator" });
  });

  test("of several is the page for browsers and a protocol's for others", async () => {
    await using room = await openRoom({ surfaces: surfaces("infernet", "orchestrator"), health: { page } });
    expect((await ask(`${room.url}/`, html)).body).toEqual({ page: true });
    expect((await ask(`${room.url}/`)).body).toEqual({ home: "orchestrator" });
  });

  test("is not found when nobody has one", async () => {
    await using room = await openRoom({ withoutDemo: true, surfaces: surfaces("infernet") });
    expect((await ask(`${room.url}/`)).status).toBe(404);
  });
});

describe("readiness", () => {
  test("is there when every check is well", async () => {
    await using room = await openRoom({ health: { ready: { database: () => null, draining: async () => null } } });
    expect(await ask(`${room.url}/readyz`)).toMatchObject({
      status: 200,
      body: { status: "ready", checks: { database: "ok", draining: "ok" } },
    });
  });

  test("names the checks that are not, without their secrets, and waits a second at most", async () => {
    const ready = {
      well: () => null,
      draining: () => "this node is stopping",
      failing: () => Promise.reject(new Error("hunter2")),
      hanging: () => new Promise<null>(() => undefined),
    };
    await using room = await openRoom({ health: { ready } });
    const startedMs = performance.now();
    const answer = await ask(`${room.url}/readyz`);
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect(answer.headers.get("retry-after")).toBe("5");
    expect(answer).toMatchObject({
      status: 503,
      body: {
        status: "unavailable",
        checks: {
          well: "ok",
          draining: "this node is stopping",
          failing: "failed",
          hanging: "no answer within 1000 ms",
        },
      },
    });
    expect((await ask(`${room.url}/livez`)).body).toEqual({ status: "ok" });
  });
});

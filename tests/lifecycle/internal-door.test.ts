import { expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { givenDatabase } from "./given-database.ts";
import { type Job, untilRunning } from "./job-calls.ts";
import { scratchDirectory, type ServerProcess, spawnServer } from "./server-process.ts";

setDefaultTimeout(60_000);

const key = "a-key";
const authorized = { authorization: `Bearer ${key}` };

test("an internal protocol is served at the internal door, and is nothing to the public one", async () => {
  const { server, inside } = await serve({ INTERNAL_SURFACES: "orchestrator" });
  const upload = () => {
    const form = new FormData();
    form.append("file", new File(["echo done > end.txt"], "run.sh"));
    return { method: "POST", body: form };
  };
  const outside = await server.call("/submit", upload());
  expect(outside.status).toBe(404);
  expect(outside.headers.get("content-type")).toBe("application/problem+json");
  expect(await outside.json()).toMatchObject({ status: 404, instance: expect.anything() });
  expect((await inside("/submit", upload())).status).toBe(200);
  expect(await server.stop()).toBe(0);
});

test("a public protocol is nothing to the internal door, and each door describes what it has", async () => {
  const { server, inside } = await serve({ INTERNAL_SURFACES: "orchestrator" });
  const task = { function: "hello", input: {}, contract: 1, priority: 1, mode: "sync" };
  expect((await server.post("/task", task, authorized)).status).toBe(200);
  const missing = await inside("/task", { method: "POST", body: JSON.stringify(task), headers: authorized });
  expect(missing.status).toBe(404);
  const paths = async (answer: Response) => Object.keys(((await answer.json()) as { paths: object }).paths);
  expect(await paths(await server.call("/openapi"))).not.toContain("/submit");
  expect(await paths(await inside("/openapi"))).toEqual(expect.arrayContaining(["/submit", "/livez"]));
  expect(await paths(await server.call("/openapi"))).toContain("/task");
  expect(await server.stop()).toBe(0);
});

test("the guards of routes are the same at the internal door", async () => {
  const { server, inside } = await serve({ INTERNAL_SURFACES: "api,orchestrator", TRUSTED_NETWORKS: "10.0.0.0/8" });
  expect((await inside("/api/v1/jobs")).status).toBe(401);
  expect((await inside("/api/v1/jobs", { headers: authorized })).status).toBe(200);
  expect((await inside("/submit", { method: "POST", body: new FormData() })).status).toBe(401);
  expect((await inside("/metrics")).status).toBe(401);
  expect(await server.stop()).toBe(0);
});

test("both doors are measured as one service", async () => {
  const { server, inside } = await serve({ INTERNAL_SURFACES: "api" });
  for (const call of [server.call, inside, inside]) await call("/nothing-here");
  for (const call of [server.call, inside]) {
    const text = await (await call("/metrics", { headers: authorized })).text();
    expect(text.match(/^# TYPE fairlead_http_requests /gm)).toHaveLength(1);
    expect(Number(/fairlead_http_requests_total\{status="4xx"\} (\d+)/.exec(text)?.[1])).toBeGreaterThanOrEqual(3);
  }
  expect(await server.stop()).toBe(0);
});

test("both doors stay open while work drains, and who waits at the internal one gets the result", async () => {
  const { server, inside } = await serve({ INTERNAL_SURFACES: "api" });
  const id = "drained";
  const waiting = inside("/api/v1/jobs", {
    method: "POST",
    body: JSON.stringify({ id, script: "sleep 2" }),
    headers: { ...authorized, prefer: "wait=30", "content-type": "application/json" },
  });
  const call: ServerProcess["call"] = (path) => inside(path, { headers: authorized });
  await untilRunning({ call, post: server.post }, id);
  server.signal("SIGTERM");
  for (const ask of [server.call, inside]) {
    await until("the door says that it is closing", async () => (await ask("/readyz")).status === 503);
  }
  expect((await (await waiting).json()) as Job).toMatchObject({ id, status: "succeeded" });
  expect(await server.exited).toBe(0);
});

async function serve(environment: Record<string, string>) {
  const { url } = await givenDatabase();
  const server = await spawnServer({
    DATA_DIR: scratchDirectory("door"),
    DATABASE_URL: url,
    AUTH_KEY: key,
    INTERNAL_PORT: "0",
    ...environment,
  }).ready();
  const { internal_url } = await server.logged("ready");
  const inside: ServerProcess["call"] = (path, init) => fetch(`${internal_url}${path}`, init);
  return { server, inside };
}

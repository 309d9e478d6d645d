import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, startApp } from "../../src/app.ts";
import { loadConfig } from "../../src/config.ts";
import { createLog } from "../../src/log.ts";
import { readOpenMetrics } from "../support/openmetrics.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

let taker: Service;
let worker: App;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "fairlead-watch-"));
  taker = await startService({ SANDBOX: "none" });
  worker = await startApp({
    config: loadConfig({
      DATABASE_URL: taker.rooms.config.databaseUrl,
      DATA_DIR: directory,
      NODE_NAME: `worker-${crypto.randomUUID().slice(0, 8)}`,
      AUTH_KEY: "the-key-of-the-operator",
      TRUSTED_NETWORKS: "10.0.0.0/8",
      FUNCTIONS_DIR: join(import.meta.dir, "../../functions"),
      NODE_TAGS: "gpu",
      WATCH_PORT: "0",
      LOG_LEVEL: "error",
    }),
    log: createLog({ level: "info", maxLines: 100, write: () => undefined }),
    environment: { PATH: process.env["PATH"] ?? "" },
    http: false,
  });
}, 60_000);
afterAll(async () => {
  await worker.stop();
  await taker.stop();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${worker.watchUrl}${path}`, { headers });

describe("the door of a node without HTTP", () => {
  test("says whether the node lives and takes work", async () => {
    expect((await get("/livez")).status).toBe(200);
    expect((await get("/readyz")).status).toBe(200);
  });

  test("tells its metrics to whoever has the key", async () => {
    expect((await get("/metrics")).status).toBe(401);
    const response = await get("/metrics", { authorization: "Bearer the-key-of-the-operator" });
    const families = readOpenMetrics(await response.text());
    expect(families.get("fairlead_slots_limit")?.samples.length).toBe(4);
  });

  test("has no protocol and no documentation behind it", async () => {
    const headers = { authorization: "Bearer the-key-of-the-operator" };
    for (const path of ["/api/v1/jobs", "/task", "/submit", "/docs", "/openapi", "/"])
      expect({ path, status: (await get(path, headers)).status }).toEqual({ path, status: 404 });
  });

  test("counts the runs of work that another node has taken", async () => {
    const body = { function: "hello", input: { name: "Ada" }, requires: { tags: ["gpu"] } };
    const response = await taker.post("/api/v1/jobs", body, { prefer: "wait=30" });
    expect(await response.json()).toMatchObject({ status: "succeeded" });
    await until(
      "the run is counted",
      async () => {
        const text = await (await get("/metrics", { authorization: "Bearer the-key-of-the-operator" })).text();
        return text.includes('fairlead_runs_total{runner="function",outcome="succeeded"} 1\n');
      },
      { withinMs: 30_000 },
    );
  });
});

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-full-"));
const gate = join(directory, "gate");
const service = await startService({
  FUNCTIONS_DIR: join(import.meta.dir, "../support/functions"),
  SLOTS: "1",
  QUEUE_MAX: "1",
});
afterAll(async () => {
  await service.stop();
  rmSync(directory, { recursive: true });
});

test("a service in which as much waits as may refuses more with a time to come back, and takes it then", async () => {
  const held = service.post("/task", { function: "gated", input: { path: gate } });
  const slots = async () =>
    (await (await service.call("/health", { headers: { "x-lb-auth": "any" } })).json()) as {
      slots: { used: number; queue: number };
    };
  await until("it runs", async () => (await slots()).slots.used === 1);
  const waiting = service.post("/task", { function: "greet" });
  await until("one waits", async () => (await slots()).slots.queue === 1);
  const error = "1 tasks are waiting, which is the most this service takes";
  for (const mode of ["sync", "stream"]) {
    const refused = await service.post("/task", { function: "greet", mode });
    expect([refused.status, refused.headers.get("retry-after"), await refused.json()]).toEqual([503, "5", { error }]);
  }
  const job = await service.post("/api/v1/jobs", { function: "greet" });
  expect([job.status, job.headers.get("retry-after")]).toEqual([503, "5"]);
  expect(await job.json()).toMatchObject({ code: "queue_full", detail: error });
  writeFileSync(gate, "");
  for (const one of await Promise.all([held, waiting])) expect(one.status).toBe(200);
  await until("it takes more", async () => (await service.post("/task", { function: "greet" })).status === 200);
});

import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startApp } from "../../src/app.ts";
import { loadConfig } from "../../src/config.ts";
import { silentLog } from "../../src/log.ts";
import { testDatabase } from "../support/database.ts";
import { startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { StubControlPlane } from "./support/control-plane.ts";
import { hasChromium, jobOf, sleeping, taskOf } from "./support/tasks.ts";

test.skipIf(!hasChromium)(
  "reports that could not be handed over are, after a restart",
  async () => {
    await using plane = new StubControlPlane();
    const database = await testDatabase();
    const dataDir = await mkdtemp(join(tmpdir(), "fairlead-restart-"));
    const { host, database: name, username } = database.address;
    const config = loadConfig({
      PORT: "0",
      WEBSOCKET_PORT: "0",
      NODE_NAME: `restart-${process.pid}`,
      DATA_DIR: dataDir,
      DATABASE_URL: `postgres://${username}@localhost/${name}?host=${encodeURIComponent(host)}`,
      SURFACES: "optexity",
      SERVER_URL: plane.url,
      API_KEY: "key",
      WEBHOOK_RETRY_DELAY: "100",
      AUTOMATIONS_DIR: join(dataDir, "automations"),
    });
    const start = () => startApp({ config, log: silentLog(), environment: { PATH: process.env.PATH ?? "" } });
    plane.refuseReports = () => new Response("down", { status: 503 });
    const task = taskOf();
    const first = await start();
    await fetch(`${first.url}/allocate_task`, { method: "POST", body: JSON.stringify(task) });
    await until(
      "the task has ended",
      async () => {
        const [row] = await database.sql`SELECT 1 FROM jobs WHERE id = ${task.task_id} AND finished_at IS NOT NULL`;
        return row !== undefined;
      },
      { withinMs: 30_000 },
    );
    await first.stop();
    expect(plane.reports).toEqual([]);
    plane.refuseReports = null;
    const second = await start();
    try {
      await plane.reported(task.task_id, "save_trajectory");
      const endpoints = plane.endpointsOf(task.task_id);
      expect(new Set(endpoints).size).toBe(endpoints.length);
      expect(endpoints[0]).toBe("start_task");
      expect(endpoints[1]).toBe("complete_task");
    } finally {
      await second.stop();
      await database.drop();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  60_000,
);

test.skipIf(!hasChromium)(
  "on a port that all protocols share, a task that runs for too long makes health 503",
  async () => {
    const service = await startService({ AUTOMATION_UNHEALTHY_AFTER: "1" });
    try {
      expect((await service.call("/health")).status).toBe(200);
      const task = taskOf({ automation: sleeping(600) });
      expect((await service.post("/allocate_task", task)).status).toBe(202);
      await jobOf(service, task.task_id, "running", ({ status }) => status === "running");
      const unwell = await until("health is 503", async () => {
        const response = await service.call("/health");
        return response.status === 503 ? response : null;
      });
      expect(await unwell.json()).toMatchObject({
        status: "unhealthy",
        message: "Task not finished in the last 1 second",
        task_running: true,
      });
      await service.post("/kill_task", [task.task_id]);
      await until("health is 200 again", async () => (await service.call("/health")).status === 200);
    } finally {
      await service.stop();
    }
  },
  60_000,
);

import { expect, test } from "bun:test";
import { join } from "node:path";
import { StubControlPlane } from "../surfaces/support/control-plane.ts";
import { hasChromium, taskOf } from "../surfaces/support/tasks.ts";
import { until } from "../support/until.ts";
import { scratchDirectory, type ServerProcess, spawnServer } from "./server-process.ts";

// Nothing was downloaded, so there is no report of downloads.
const order = ["start_task", "complete_task", "save_output_data", "save_trajectory"];
const tasks = Array.from({ length: 4 }, () => taskOf());
const withinMs = 150_000;

test.skipIf(!hasChromium)(
  "reports that pile up while the control plane is down survive kills of the server and go out in order",
  async () => {
    await using plane = new StubControlPlane();
    const dataDir = scratchDirectory("plane-down");
    const start = () =>
      spawnServer({
        ...{ DATA_DIR: dataDir, NODE_NAME: `plane-down-${process.pid}`, SURFACES: "optexity,api" },
        ...{ SERVER_URL: plane.url, API_KEY: "key", WEBHOOK_RETRY_DELAY: "300", WEBHOOK_TIMEOUT: "1000" },
        ...{ AUTOMATIONS_DIR: join(dataDir, "none") },
      }).ready();
    plane.refuseReports = () => new Response("<html>Bad gateway</html>", { status: 502 });

    const first = await start();
    expect((await first.post("/allocate_task", tasks.slice(0, 2))).status).toBe(202);
    for (const { task_id } of tasks.slice(0, 2)) await ended(first, task_id);
    expect(await waitingReports(first, tasks[0]?.task_id ?? "")).toBe(order.length);
    await first.kill();

    const second = await start();
    expect((await second.post("/allocate_task", tasks.slice(2))).status).toBe(202);
    for (const { task_id } of tasks) await ended(second, task_id);
    expect(plane.reports).toEqual([]);
    // Now it takes one report and refuses the next: whatever is refused holds up only its own task.
    let answered = 0;
    plane.refuseReports = null;
    plane.sometimes = () => (++answered % 2 === 0 ? new Response("again", { status: 503 }) : null);
    await until("something was reported", () => plane.reports.length >= 3, { withinMs });
    await second.kill();

    plane.sometimes = () => null;
    const third = await start();
    for (const { task_id } of tasks) await plane.reported(task_id, "save_trajectory", withinMs);
    for (const { task_id } of tasks) {
      const told = plane.endpointsOf(task_id);
      // A report whose answer the kill swallowed is sent again: at least once, never out of order.
      expect(told.filter((endpoint, at) => endpoint !== told[at - 1])).toEqual(order);
      await until("all are delivered", async () => (await waitingReports(third, task_id)) === 0, { withinMs });
    }
    expect(await third.stop()).toBe(0);
  },
  withinMs * 4,
);

async function ended(service: ServerProcess, id: string): Promise<void> {
  const isOver = async () => {
    const job = (await (await service.call(`/api/v1/jobs/${id}`)).json()) as { status: string };
    return ["succeeded", "failed"].includes(job.status);
  };
  await until(`task ${id} has ended`, isOver, { withinMs, everyMs: 50 });
}

async function waitingReports(service: ServerProcess, id: string): Promise<number> {
  const { deliveries } = (await (await service.call(`/api/v1/jobs/${id}/deliveries`)).json()) as {
    deliveries: { state: string }[];
  };
  return deliveries.filter(({ state }) => state !== "delivered").length;
}

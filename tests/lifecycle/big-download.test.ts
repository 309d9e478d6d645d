import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasChromium } from "../surfaces/support/tasks.ts";
import { until } from "../support/until.ts";
import { type ServerProcess, scratchDirectory, spawnServer } from "./server-process.ts";

const isFull = process.env["FAIRLEAD_FULL"] === "1";
const fileBytes = isFull ? 2 ** 30 : 160 * 2 ** 20;
/** Far below the file, and above what an idle server gains in its first minute of work. */
const riseMbMax = isFull ? 250 : 140;
const withinMs = isFull ? 600_000 : 90_000;

const block = crypto.getRandomValues(new Uint8Array(65_536));
const site = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  fetch: (asked) => (new URL(asked.url).pathname === "/big.bin" ? bigFile() : page()),
});
afterAll(() => site.stop(true));

test.skipIf(!hasChromium)(
  "a download far larger than memory may grow by reaches the payload, its zip and the control plane whole",
  async () => {
    const parent = await server({ AUTH_KEY: "parent-key", AUTOMATIONS_DIR: automations() });
    const child = await server({ SERVER_URL: parent.url, API_KEY: "parent-key" });
    const watched = [parent, child].map(watch);
    const request = { endpoint_name: "big", input_parameters: {} };
    const answer = (await (await child.post("/inference", request)).json()) as { task_id: string };
    const taskId = answer.task_id;
    await until("the child has run it", () => statusOf(child, taskId, "succeeded"), { withinMs, everyMs: 200 });
    await until("the parent has the file", () => hasFile(parent, taskId), { withinMs, everyMs: 200 });
    expect(await receivedFrom(child, `/api/v1/jobs/${taskId}/files/downloads/big.bin`)).toBe(fileBytes);
    expect(await receivedFrom(child, `/api/v1/jobs/${taskId}/files.zip`)).toBeGreaterThan(fileBytes);
    expect(await receivedFrom(parent, `/api/v1/jobs/${taskId}/files/downloads/big.bin`)).toBe(fileBytes);
    const rises = watched.map((stop) => stop());
    if (isFull) console.log(`${fileBytes} bytes; parent and child grew by ${rises.map(Math.round).join(" and ")} MiB`);
    expect(Math.max(...rises)).toBeLessThan(riseMbMax);
  },
  withinMs * 3,
);

function automations(): string {
  const directory = join(scratchDirectory("big"), "automations");
  mkdirSync(directory);
  const click = { command: 'get_by_role("link", name="Get")', expect_download: true };
  const document = {
    url: site.url.href,
    parameters: { input_parameters: {} },
    nodes: [{ type: "action_node", end_sleep_time: 0, interaction_action: { click_element: click } }],
  };
  writeFileSync(join(directory, "big.json"), JSON.stringify(document));
  return directory;
}

async function server(environment: Record<string, string>): Promise<ServerProcess> {
  const dataDir = scratchDirectory("big-node");
  const none = join(dataDir, "none");
  const started = spawnServer({
    ...{ DATA_DIR: dataDir, SURFACES: "optexity,api", LOG_LEVEL: "info", AUTOMATIONS_DIR: none },
    ...{ WEBHOOK_RETRY_DELAY: "200", LIMIT_WALL_S: "900" },
    ...environment,
  });
  await started.ready();
  await started.call("/livez");
  return started;
}

const keyed = { headers: { "x-api-key": "parent-key" } };

async function statusOf(service: ServerProcess, id: string, wanted: string): Promise<boolean> {
  const job = (await (await service.call(`/api/v1/jobs/${id}`, keyed)).json()) as { status: string; error: unknown };
  if (job.status === "failed") throw new Error(`the task failed: ${JSON.stringify(job.error)}`);
  return job.status === wanted;
}

async function hasFile(service: ServerProcess, id: string): Promise<boolean> {
  const listed = await (await service.call(`/api/v1/jobs/${id}/files`, keyed)).json();
  return JSON.stringify(listed).includes('"downloads/big.bin"');
}

async function receivedFrom(service: ServerProcess, path: string): Promise<number> {
  const response = await service.call(path, keyed);
  expect(response.status).toBe(200);
  let bytes = 0;
  for await (const chunk of response.body ?? []) bytes += chunk.length;
  return bytes;
}

/** Gives, when it is called, how many MiB the process has grown by at most since. */
function watch({ pid }: ServerProcess): () => number {
  const before = residentMb(pid);
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentMb(pid));
  }, 50);
  return () => {
    clearInterval(timer);
    return peak - before;
  };
}

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
}

function page(): Response {
  return new Response('<a href="/big.bin">Get</a>', { headers: { "content-type": "text/html" } });
}

function bigFile(): Response {
  let left = fileBytes;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (left <= 0) return controller.close();
      controller.enqueue(block);
      left -= block.length;
    },
  });
  return new Response(body, {
    headers: {
      "content-disposition": 'attachment; filename="big.bin"',
      "content-type": "application/octet-stream",
      "content-length": String(fileBytes),
    },
  });
}

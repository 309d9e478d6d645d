import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readOpenMetrics, type ReadFamily } from "../support/openmetrics.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const patient = { withinMs: 30_000, everyMs: 50 };
let service: Service;
let receiver: ReturnType<typeof Bun.serve>;
beforeAll(async () => {
  receiver = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("", { status: 204 }) });
  service = await startService({ WEBHOOK_ALLOW: "127.0.0.0/8", SANDBOX: "none" });
  // Before the queues are read for the first time: the slower that is, the longer it is kept.
  await service.post("/api/v1/jobs", { function: "hello", input: { name: "later" }, delay: 3_600, priority: 7 });
}, 60_000);
afterAll(async () => {
  await service.stop();
  await receiver.stop(true);
}, 30_000);

async function families(): Promise<Map<string, ReadFamily>> {
  const response = await service.call("/metrics");
  expect(response.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
  return readOpenMetrics(await response.text());
}

async function value(sample: string, labels: Record<string, string> = {}): Promise<number> {
  const all = [...(await families()).values()].flatMap(({ samples }) => samples);
  const found = all.filter(
    (one) => one.name === sample && Object.entries(labels).every(([name, text]) => one.labels[name] === text),
  );
  return found.reduce((sum, one) => sum + one.value, 0);
}

const run = (body: Record<string, unknown>) => service.post("/api/v1/jobs", body, { prefer: "wait=15" });

describe("the metrics of a service", () => {
  test("are OpenMetrics that a strict reader takes, each with a type and a help", async () => {
    const all = await families();
    expect(all.size).toBeGreaterThan(25);
    for (const name of ["fairlead_build", "process_cpu_seconds", "fairlead_event_loop_lag_seconds"])
      expect(all.get(name)?.samples.length).toBeGreaterThan(0);
    expect(all.get("process_resident_memory_bytes")?.samples[0]?.value ?? 0).toBeGreaterThan(1_000_000);
  });

  test("say of every number whether it is this node's or the whole cluster's", async () => {
    const own = [...(await families())].filter(([name]) => !name.startsWith("process_"));
    const unsaid = own.filter(([, { help }]) => !/\bnode\b|whole cluster/.test(help));
    expect(unsaid.map(([name]) => name)).toEqual([]);
  });

  test("count jobs by surface, and their runs by runner and outcome", async () => {
    const labels = { runner: "function", outcome: "succeeded" };
    const before = [
      await value("fairlead_jobs_accepted_total", { surface: "api" }),
      await value("fairlead_runs_total", labels),
    ];
    await run({ function: "hello", input: { name: "Ada" } });
    await run({ function: "hello", input: {} });
    const after = [
      await value("fairlead_jobs_accepted_total", { surface: "api" }),
      await value("fairlead_runs_total", labels),
    ];
    expect(after[0]).toBe((before[0] ?? 0) + 2);
    expect(after[1]).toBeGreaterThan(before[1] ?? 0);
    const started = (await value("fairlead_claims_total")) + (await value("fairlead_starts_at_once_total"));
    expect(started).toBeGreaterThanOrEqual(2);
    expect(await value("fairlead_wait_seconds_count", { runner: "function" })).toBe(started);
    expect(await value("fairlead_run_seconds_count")).toBe(await value("fairlead_runs_total"));
  });

  test("count every attempt that fails", async () => {
    const before = await value("fairlead_runs_total", { runner: "script", outcome: "failed" });
    await run({ script: "exit 3", max_attempts: 2, backoff: 1 });
    await until(
      "both attempts are counted",
      async () => {
        return (await value("fairlead_runs_total", { runner: "script", outcome: "failed" })) >= before + 2;
      },
      patient,
    );
  });

  test("tell what waits, and that it waits for its time", async () => {
    const labels = { runner: "function", priority: "low", state: "delayed", surface: "api" };
    await until("the waiting job is told", async () => (await value("fairlead_queue_tasks", labels)) === 1, {
      withinMs: 60_000,
      everyMs: 250,
    });
    expect(await value("fairlead_nodes", { state: "ready" })).toBe(1);
  }, 90_000);

  test("count attempts of webhooks", async () => {
    const webhook = { url: `http://127.0.0.1:${receiver.port}/` };
    await run({ function: "hello", input: { name: "Ada" }, webhook });
    await until(
      "the webhook is counted",
      async () => {
        return (await value("fairlead_webhook_attempts_total", { outcome: "delivered" })) > 0;
      },
      patient,
    );
    expect(await value("fairlead_webhook_attempt_seconds_count")).toBe(1);
  });

  test("tell slots, connections and readers", async () => {
    expect(await value("fairlead_slots_limit", { runner: "function" })).toBe(10);
    expect(await value("fairlead_database_connections_limit", { pool: "hot" })).toBeGreaterThan(0);
    expect(await value("fairlead_database_connections")).toBeGreaterThan(0);
    const job = (await (await service.post("/api/v1/jobs", { function: "hello", hold: true })).json()) as {
      id: string;
    };
    const reader = new AbortController();
    const path = `/api/v1/jobs/${job.id}/events`;
    await service.call(path, { headers: { accept: "text/event-stream" }, signal: reader.signal });
    expect(await value("fairlead_http_streams")).toBe(1);
    reader.abort();
    await until("the reader is gone", async () => (await value("fairlead_http_streams")) === 0, patient);
  });
});

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CollectedSpan, type Collector, startCollector } from "../support/collector.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

// Spans are sent every second, and each test waits for some.
setDefaultTimeout(60_000);

type Job = { id: string; status: string; result: { traceparent: string } };

const heard: { path: string; traceparent: string | null }[] = [];
const receiver = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) => {
    heard.push({ path: new URL(request.url).pathname, traceparent: request.headers.get("traceparent") });
    return new Response(null, { status: 204 });
  },
});
let collector: Collector;
let directory: string;
let service: Service;
beforeAll(async () => {
  collector = startCollector();
  directory = await mkdtemp(join(tmpdir(), "fairlead-traces-"));
  await writeFile(
    join(directory, "trace.ts"),
    "export default { handler: (_, { traceparent }) => ({ traceparent }) };",
  );
  await writeFile(join(directory, "fails.ts"), 'export default { handler: () => { throw new Error("hush") } };');
  const exec = ["sh", "-c", `printf '{"traceparent":"%s"}' "$TRACEPARENT"`];
  await writeFile(join(directory, "containers.json"), JSON.stringify([{ id: "command", exec }]));
  service = await startService({
    SANDBOX: "none",
    FUNCTIONS_DIR: directory,
    CONTAINERS_FILE: join(directory, "containers.json"),
    WEBHOOK_ALLOW: "127.0.0.0/8",
    NODE_NAME: "traced-node",
    REGION: "ams",
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  });
}, 60_000);
afterAll(async () => {
  await service.stop();
  await Promise.all([collector.stop(), receiver.stop(true)]);
  await rm(directory, { recursive: true, force: true });
}, 30_000);

async function run(body: Record<string, unknown>, headers: Record<string, string> = {}): Promise<Job> {
  const response = await service.post("/api/v1/jobs", body, { prefer: "wait=15", ...headers });
  return (await response.json()) as Job;
}

/** The spans of a job, once there are so many. */
function spansOf(job: Job, count: number): Promise<CollectedSpan[]> {
  return until(
    `there are ${count} spans of the job`,
    () => {
      const found = collector.spans.filter(({ facts }) => facts["fairlead.job.id"] === job.id);
      return found.length >= count ? found : null;
    },
    { withinMs: 30_000, everyMs: 50 },
  );
}

const named = (spans: CollectedSpan[], name: string) => spans.find((span) => span.name === name) as CollectedSpan;
const traceparentOf = ({ traceId, spanId }: CollectedSpan) => `00-${traceId}-${spanId}-01`;

describe("one trace", () => {
  test("shows the submit of a job, its wait, its run and its webhook, each below the right one", async () => {
    const [traceId, parentId] = [crypto.randomUUID().replaceAll("-", ""), "b7ad6b7169203331"];
    const webhook = { url: `http://127.0.0.1:${receiver.port}/told?secret=hush` };
    const job = await run({ function: "trace", webhook }, { traceparent: `00-${traceId}-${parentId}-01` });
    const spans = await spansOf(job, 4);
    expect(spans.map(({ name }) => name).sort()).toEqual([
      "deliver webhook",
      "run function",
      "submit api",
      "wait function",
    ]);
    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
    const submit = named(spans, "submit api");
    const parents = Object.fromEntries(spans.map(({ name, parentSpanId }) => [name, parentSpanId]));
    expect(parents).toEqual({
      "submit api": parentId,
      "wait function": submit.spanId,
      "run function": submit.spanId,
      "deliver webhook": submit.spanId,
    });
    expect(job.result.traceparent).toBe(traceparentOf(named(spans, "run function")));
    const told = heard.find(({ path }) => path === "/told");
    expect(told?.traceparent).toBe(traceparentOf(named(spans, "deliver webhook")));
    expect(JSON.stringify(spans)).not.toContain("hush");
  });

  test("begins with the submit when its caller is in none", async () => {
    const job = await run({ function: "trace" });
    const spans = await spansOf(job, 3);
    const submit = named(spans, "submit api");
    expect(submit.parentSpanId ?? "").toBe("");
    expect(named(spans, "run function")).toMatchObject({ traceId: submit.traceId, parentSpanId: submit.spanId });
  });

  test("says where the work was done, what it was and how it ended", async () => {
    const job = await run({ function: "trace" });
    const spans = await spansOf(job, 3);
    const ran = named(spans, "run function");
    expect(ran.resource).toMatchObject({
      "service.name": "fairlead",
      "fairlead.node": "traced-node",
      "cloud.region": "ams",
    });
    expect(ran.facts).toMatchObject({
      "fairlead.runner": "function",
      "fairlead.target": "trace",
      "fairlead.attempt": 1,
      "fairlead.outcome": "succeeded",
    });
    expect(named(spans, "submit api").facts).toMatchObject({
      "fairlead.surface": "api",
      "fairlead.job.existing": false,
    });
    expect(ran.endedMs).toBeGreaterThanOrEqual(ran.startedMs);
    expect(collector.paths).toEqual(new Set(["/v1/traces"]));
  });

  test("shows how long a job waited for its time", async () => {
    const job = await run({ function: "trace", delay: 1 });
    const waited = named(await spansOf(job, 3), "wait function");
    expect(waited.endedMs - waited.startedMs).toBeGreaterThanOrEqual(900);
  });

  test("shows each attempt of a job that fails, with a code and no words of its own", async () => {
    const job = await run({ function: "fails", max_attempts: 2, backoff: 1 });
    const spans = await spansOf(job, 5);
    const runs = spans.filter(({ name }) => name === "run function");
    expect(runs.map(({ facts }) => facts["fairlead.attempt"]).sort()).toEqual([1, 2]);
    expect(runs.map(({ status }) => status)).toEqual([
      { code: 2, message: "function_error" },
      { code: 2, message: "function_error" },
    ]);
    expect(JSON.stringify(spans)).not.toContain("hush");
  });

  test("shows every link of a chain below its submit, and tells each its own run", async () => {
    const job = await run({ containers: ["command", "command"] });
    const spans = await spansOf(job, 5);
    const submit = named(spans, "submit api");
    const runs = spans.filter(({ name }) => name === "run container");
    expect(runs.map(({ facts }) => facts["fairlead.task"]).sort()).toEqual([0, 1]);
    expect(runs.every(({ parentSpanId }) => parentSpanId === submit.spanId)).toBe(true);
    const last = runs.find(({ facts }) => facts["fairlead.task"] === 1) as CollectedSpan;
    expect(job.result.traceparent).toBe(traceparentOf(last));
  });

  test("is not collected when its caller has decided so, and is passed on all the same", async () => {
    const traceId = crypto.randomUUID().replaceAll("-", "");
    const job = await run({ function: "trace" }, { traceparent: `00-${traceId}-b7ad6b7169203331-00` });
    expect(job.result.traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
    await spansOf(await run({ function: "trace" }), 3);
    expect(collector.spans.filter((span) => span.traceId === traceId)).toEqual([]);
  });
});

describe("a collector that is away", () => {
  test("keeps no job from running, is complained of once, and is used again when it is back", async () => {
    const complaints = (words: string) => service.log.lines().filter((line) => line.includes(words)).length;
    collector.answer(400);
    await run({ function: "trace" });
    await until("it is complained of", () => complaints("traces are not taken") > 0, { withinMs: 30_000 });
    for (let at = 0; at < 3; at++) expect((await run({ function: "trace" })).status).toBe("succeeded");
    collector.answer(200);
    await spansOf(await run({ function: "trace" }), 3);
    await until("it is said to be back", () => complaints("traces are taken again") === 1);
    expect(complaints("traces are not taken")).toBe(1);
  });

  test("does not hold up the stop of a service, which sends what is left", async () => {
    const nowhere = startCollector();
    await nowhere.stop();
    const other = await startService({ SANDBOX: "none", OTEL_EXPORTER_OTLP_ENDPOINT: nowhere.url });
    const response = await other.post(
      "/api/v1/jobs",
      { function: "hello", input: { name: "Ada" } },
      { prefer: "wait=15" },
    );
    expect(response.status).toBe(200);
    const sinceMs = performance.now();
    await other.stop();
    expect(performance.now() - sinceMs).toBeLessThan(20_000);
  }, 60_000);
});

import { describe, expect, test } from "bun:test";
import { createBuckets, observe } from "../../src/buckets.ts";
import { createCached } from "../../src/http/cached.ts";
import { createMetrics } from "../../src/http/metrics.ts";
import { readOpenMetrics } from "../support/openmetrics.ts";
import { until } from "../support/until.ts";
import { bearer, goodKey, openRoom } from "./room.ts";

describe("metrics", () => {
  test("are told as OpenMetrics text", async () => {
    const metrics = createMetrics();
    const runs = metrics.counter("runs", "Runs by\noutcome");
    runs.add({ outcome: 'a"b\\c' });
    runs.add({ outcome: 'a"b\\c' }, 2);
    runs.add();
    metrics.gauge("slots", "Slots", async () => [
      { labels: { runner: "script" }, value: 3 },
      { labels: { runner: "function" }, value: 0 },
    ]);
    metrics.gauge("broken", "Broken", () => Promise.reject(new Error("gone")));
    metrics.total("jobs", "Jobs", () => 7);
    const wait = metrics.histogram("wait_seconds", "Wait", [0.5, 1]);
    for (const value of [0.1, 0.5, 0.6, 9]) wait.observe(value);
    metrics.info("build", 'The "build"', { version: "1" });
    metrics.total("process_cpu_seconds", "CPU", () => 1.5);
    const text = await metrics.render();
    expect(() => readOpenMetrics(text)).not.toThrow();
    expect(text).toBe(`# TYPE fairlead_runs counter
# HELP fairlead_runs Runs by\\noutcome
fairlead_runs_total{outcome="a\\"b\\\\c"} 3
fairlead_runs_total 1
# TYPE fairlead_slots gauge
# HELP fairlead_slots Slots
fairlead_slots{runner="script"} 3
fairlead_slots{runner="function"} 0
# TYPE fairlead_broken gauge
# HELP fairlead_broken Broken
# TYPE fairlead_jobs counter
# HELP fairlead_jobs Jobs
fairlead_jobs_total 7
# TYPE fairlead_wait_seconds histogram
# UNIT fairlead_wait_seconds seconds
# HELP fairlead_wait_seconds Wait
fairlead_wait_seconds_bucket{le="0.5"} 2
fairlead_wait_seconds_bucket{le="1.0"} 3
fairlead_wait_seconds_bucket{le="+Inf"} 4
fairlead_wait_seconds_count 4
fairlead_wait_seconds_sum 10.2
# TYPE fairlead_build info
# HELP fairlead_build The \\"build\\"
fairlead_build_info{version="1"} 1
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
# HELP process_cpu_seconds CPU
process_cpu_seconds_total 1.5
# EOF
`);
  });

  test("of several histograms are told apart by their labels", async () => {
    const metrics = createMetrics();
    const [fast, slow] = [createBuckets([1]), createBuckets([1])];
    observe(fast, 1);
    observe(slow, 2);
    metrics.spread("run_seconds", "Runs", () => [
      { labels: { runner: "fast" }, buckets: fast },
      { labels: { runner: "slow" }, buckets: slow },
    ]);
    const { samples } = readOpenMetrics(await metrics.render()).get("fairlead_run_seconds") ?? { samples: [] };
    expect(samples.map(({ name, labels, value }) => [name.slice(21), labels.runner, labels.le, value])).toEqual([
      ["bucket", "fast", "1.0", 1],
      ["bucket", "fast", "+Inf", 1],
      ["count", "fast", undefined, 1],
      ["sum", "fast", undefined, 1],
      ["bucket", "slow", "1.0", 0],
      ["bucket", "slow", "+Inf", 1],
      ["count", "slow", undefined, 1],
      ["sum", "slow", undefined, 2],
    ]);
  });

  test("keep a bound on the labels they have seen", async () => {
    const metrics = createMetrics();
    const seen = metrics.counter("seen", "Seen");
    for (let at = 0; at < 5_000; at++) seen.add({ id: String(at) });
    expect((await metrics.render()).match(/seen_total/g)).toHaveLength(1_000);
  });

  test("of the edge count and time every answer, for those who may ask", async () => {
    await using room = await openRoom();
    await fetch(`${room.url}/demo/open`);
    await fetch(`${room.url}/demo/nope`);
    expect((await fetch(`${room.url}/metrics`)).status).toBe(401);
    const response = await fetch(`${room.url}/metrics`, bearer(goodKey));
    const text = await response.text();
    expect(response.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(text).toContain('fairlead_http_requests_total{status="2xx"} 1\n');
    expect(text).toContain('fairlead_http_requests_total{status="4xx"} 2\n');
    expect(text).toContain("fairlead_http_request_seconds_count 3\n");
    expect(text).toContain("fairlead_http_streams 0\n");
  });
});

describe("a reading for many", () => {
  test("is made once at a time and kept for a while", async () => {
    let reads = 0;
    const reading = createCached(async () => ++reads, 60_000);
    expect(await Promise.all([reading.value(), reading.value()])).toEqual([1, 1]);
    expect(await reading.value()).toBe(1);
  });

  test("that hangs keeps nobody waiting for long, and is not begun again", async () => {
    let reads = 0;
    const reading = createCached(() => {
      reads++;
      return new Promise<number>(() => undefined);
    }, 0);
    const waits = await Promise.allSettled([reading.value(), reading.value()]);
    expect(waits.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(reads).toBe(1);
  }, 30_000);

  test("that fails is a failure for all, until it is made again", async () => {
    let reads = 0;
    const reading = createCached(() => (++reads === 1 ? Promise.reject(new Error("gone")) : Promise.resolve(reads)), 0);
    expect(reading.value()).rejects.toThrow("gone");
    expect(await until("it is read again", () => reading.value().catch(() => null))).toBe(2);
  });
});

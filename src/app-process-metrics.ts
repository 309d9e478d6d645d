import { readdirSync } from "node:fs";
import { type Buckets, createBuckets, observe } from "./buckets.ts";
import type { Metrics } from "./http/metrics.ts";

/** What can be measured of this process alone, under the names that other exporters use. */
export function addProcessMetrics(metrics: Metrics, build: { version: string }): { stop(): void } {
  const startedS = Date.now() / 1_000 - process.uptime();
  metrics.info("build", "The program of this node", { version: build.version, bun: Bun.version });
  metrics.total("process_cpu_seconds", "CPU time of the server's process, without its children", cpuSeconds);
  metrics.gauge("process_resident_memory_bytes", "Memory of the server's process, without its children", () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge("process_start_time_seconds", "When the process was started, in seconds since 1970", () => startedS);
  metrics.gauge("process_open_fds", "Files and sockets that the process has open", openFiles);
  const lag = watchEventLoop();
  metrics.spread(
    "event_loop_lag_seconds",
    "How late a timer of this node fired: how long everything else had to wait",
    () => lag.buckets,
  );
  return { stop: lag.stop };
}

const everyMs = 100;
const lagBounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * A timer of our own, since `monitorEventLoopDelay` tells percentiles, of which no counts can be made that only grow.
 * It does not keep the process alive.
 */
function watchEventLoop(): { buckets: Buckets; stop(): void } {
  const buckets = createBuckets(lagBounds);
  let dueMs = performance.now() + everyMs;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    observe(buckets, Math.max(0, nowMs - dueMs) / 1_000);
    dueMs = nowMs + everyMs;
  }, everyMs);
  timer.unref();
  return { buckets, stop: () => clearInterval(timer) };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000_000;
}

/** Throws where there is no /proc; then the metric is left out. */
function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

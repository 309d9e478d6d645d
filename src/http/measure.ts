import type { Metrics } from "./metrics.ts";

const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];

export type Measure = (status: number, ms: number) => void;

/** Counts answers by class of status and times them; every request pays for it, so it only adds to arrays. */
export function createMeasure(metrics: Metrics): Measure {
  const counts = new Float64Array(classes.length);
  metrics.total("http_requests", "Answers by class of their status", () =>
    classes.map((status, at) => ({ labels: { status }, value: counts[at] ?? 0 })),
  );
  const seconds = metrics.histogram("http_request_seconds", "Time to the first byte of an answer", secondsBounds);
  return (status, ms) => {
    const at = Math.floor(status / 100) - 1;
    counts[at] = (counts[at] ?? 0) + 1;
    seconds.observe(ms / 1_000);
  };
}

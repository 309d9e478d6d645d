import { secondsBounds } from "../buckets.ts";
import type { Metrics } from "./metrics.ts";

const classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];

export type Measure = (status: number, ms: number) => void;

/** Counts answers by class of status and times them; every request pays for it, so it only adds to arrays. */
export function createMeasure(metrics: Metrics): Measure {
  const counts = new Float64Array(classes.length);
  metrics.total("http_requests", "Answers of this node by class of their status", () =>
    classes.map((status, at) => ({ labels: { status }, value: counts[at] ?? 0 })),
  );
  const seconds = metrics.histogram(
    "http_request_seconds",
    "Time to the first byte of an answer of this node",
    secondsBounds,
  );
  return (status, ms) => {
    const at = Math.floor(status / 100) - 1;
    counts[at] = (counts[at] ?? 0) + 1;
    seconds.observe(ms / 1_000);
  };
}

import { Elysia } from "elysia";
import { createBuckets, observe } from "../buckets.ts";
import { auth } from "./auth.ts";
import type { Gate } from "./gate.ts";
import {
  type FamilyType,
  familyHead,
  histogramLines,
  type Labels,
  labelText,
  type Reading,
  sampleLines,
  type Spread,
} from "./openmetrics.ts";
import { refuseWithProblem } from "./problem.ts";

export type Counter = { add(labels?: Labels, by?: number): void };
export type Histogram = { observe(value: number): void };
type Read<T> = () => T | Promise<T>;

/**
 * Metrics of this process. Names are snake case, without the `fairlead_` that is put before all but those that begin
 * with `process_`, and without the suffixes of OpenMetrics; one that ends in `_seconds` or `_bytes` says its unit with
 * that. What is read is read whenever somebody asks for the metrics; a reading that throws is left out.
 */
export type Metrics = {
  counter(name: string, help: string): Counter;
  /** A counter that somebody else keeps. */
  total(name: string, help: string, read: Read<Reading>): void;
  gauge(name: string, help: string, read: Read<Reading>): void;
  /** `bounds` are upper bounds in ascending order; infinity is added. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram;
  /** A histogram that somebody else keeps. */
  spread(name: string, help: string, read: Read<Spread>): void;
  /** What does not change while the process runs. */
  info(name: string, help: string, labels: Labels): void;
  /** All of them as OpenMetrics text. */
  render(): Promise<string>;
};

type Family = () => Promise<string[]>;
const labelSetsMax = 1_000;

export function createMetrics(): Metrics {
  const families: Family[] = [];
  const add = (type: FamilyType, name: string, help: string, samples: (full: string) => Promise<string[]>) => {
    const full = name.startsWith("process_") ? name : `fairlead_${name}`;
    const head = familyHead(type, full, help);
    families.push(async () => [...head, ...(await samples(full))]);
  };
  const spread: Metrics["spread"] = (name, help, read) =>
    add("histogram", name, help, (full) => readLines(read, (found) => histogramLines(full, found)));
  return {
    counter: (name, help) => {
      const counts = new Map<string, number>();
      add("counter", name, help, async (full) => [...counts].map(([labels, n]) => `${full}_total${labels} ${n}`));
      return { add: (labels, by) => count(counts, labelText(labels), by ?? 1) };
    },
    total: (name, help, read) =>
      add("counter", name, help, (full) => readLines(read, (found) => sampleLines(`${full}_total`, found))),
    gauge: (name, help, read) =>
      add("gauge", name, help, (full) => readLines(read, (found) => sampleLines(full, found))),
    histogram: (name, help, bounds) => {
      const buckets = createBuckets(bounds);
      spread(name, help, () => buckets);
      return { observe: (value) => observe(buckets, value) };
    },
    spread,
    info: (name, help, labels) =>
      add("info", name, help, async (full) => sampleLines(`${full}_info`, [{ labels, value: 1 }])),
    render: async () => `${(await Promise.all(families.map((family) => family()))).flat().join("\n")}\n# EOF\n`,
  };
}

/** `GET /metrics` for callers with a key or in a trusted network. */
export function metricsRoutes(gate: Gate, metrics: Metrics) {
  const headers = {
    "content-type": "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "cache-control": "no-store",
  };
  return new Elysia({ name: "metrics" })
    .use(auth(gate, refuseWithProblem))
    .get("/metrics", async () => new Response(await metrics.render(), { headers }), {
      auth: "trusted",
      detail: { summary: "Metrics as OpenMetrics text", tags: ["service"] },
    });
}

/** Labels that vary without bound would fill the memory: further combinations are not counted. */
function count(counts: Map<string, number>, labels: string, by: number): void {
  const known = counts.get(labels);
  if (known === undefined && counts.size >= labelSetsMax) return;
  counts.set(labels, (known ?? 0) + by);
}

async function readLines<T>(read: Read<T>, lines: (found: T) => string[]): Promise<string[]> {
  try {
    return lines(await read());
  } catch (fault) {
    // Whoever reads metrics sees a gap, which is what a metric that cannot be read is.
    void fault;
    return [];
  }
}

import { Elysia } from "elysia";
import { auth } from "./auth.ts";
import type { Gate } from "./gate.ts";
import { refuseWithProblem } from "./problem.ts";

type Labels = Record<string, string>;
/** A value now, or one for each combination of labels. */
export type Reading = number | { labels: Labels; value: number }[];

export type Counter = { add(labels?: Labels, by?: number): void };
export type Histogram = { observe(value: number): void };

/**
 * Metrics of this process. Names are snake case, without the `fairlead_` that is put before them and the suffixes of
 * OpenMetrics.
 */
export type Metrics = {
  counter(name: string, help: string): Counter;
  /** A counter that somebody else keeps; asked like a gauge. */
  total(name: string, help: string, read: () => Reading | Promise<Reading>): void;
  /** Asked whenever the metrics are read; one that throws is left out of that reading. */
  gauge(name: string, help: string, read: () => Reading | Promise<Reading>): void;
  /** `bounds` are upper bounds in ascending order; infinity is added. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram;
  /** All of them as OpenMetrics text. */
  render(): Promise<string>;
};

type Family = () => Promise<string[]>;
const labelSetsMax = 1_000;

export function createMetrics(): Metrics {
  const families: Family[] = [];
  const add = (type: string, name: string, help: string, samples: () => string[] | Promise<string[]>) => {
    const head = [`# TYPE fairlead_${name} ${type}`, `# HELP fairlead_${name} ${escapeText(help)}`];
    families.push(async () => [...head, ...(await samples())]);
  };
  return {
    counter: (name, help) => {
      const counts = new Map<string, number>();
      add("counter", name, help, () =>
        [...counts].map(([labels, count]) => `fairlead_${name}_total${labels} ${count}`),
      );
      return { add: (labels, by) => count(counts, labelText(labels), by ?? 1) };
    },
    total: (name, help, read) => add("counter", name, help, () => readSamples(`${name}_total`, read)),
    gauge: (name, help, read) => add("gauge", name, help, () => readSamples(name, read)),
    histogram: (name, help, bounds) => {
      const buckets = new Float64Array(bounds.length + 1);
      const total = { sum: 0 };
      add("histogram", name, help, () => histogramSamples(name, bounds, buckets, total.sum));
      return { observe: (value) => observe(bounds, buckets, total, value) };
    },
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

async function readSamples(name: string, read: () => Reading | Promise<Reading>): Promise<string[]> {
  try {
    const reading = await read();
    const values = typeof reading === "number" ? [{ labels: {}, value: reading }] : reading;
    return values.map(({ labels, value }) => `fairlead_${name}${labelText(labels)} ${value}`);
  } catch (fault) {
    // Whoever reads metrics sees a gap, which is what a gauge that cannot be read is.
    void fault;
    return [];
  }
}

function observe(bounds: readonly number[], buckets: Float64Array, total: { sum: number }, value: number): void {
  let at = 0;
  while (at < bounds.length && value > (bounds[at] ?? 0)) at += 1;
  buckets[at] = (buckets[at] ?? 0) + 1;
  total.sum += value;
}

function histogramSamples(name: string, bounds: readonly number[], buckets: Float64Array, sum: number): string[] {
  let below = 0;
  const lines = [...buckets].map((found, at) => {
    below += found;
    return `fairlead_${name}_bucket{le="${at < bounds.length ? floatText(bounds[at] ?? 0) : "+Inf"}"} ${below}`;
  });
  return [...lines, `fairlead_${name}_count ${below}`, `fairlead_${name}_sum ${sum}`];
}

/** OpenMetrics wants bounds as floats. */
function floatText(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : String(bound);
}

function labelText(labels: Labels = {}): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeText(value).replaceAll('"', '\\"')}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeText(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

import type { Buckets } from "../buckets.ts";

export type Labels = Record<string, string>;
/** One value, or one for each combination of labels. */
export type Reading = number | { labels: Labels; value: number }[];
/** One histogram, or one for each combination of labels. */
export type Spread = Buckets | { labels: Labels; buckets: Buckets }[];

export type FamilyType = "counter" | "gauge" | "histogram" | "info";

/** What begins the text of a family: its type, its unit when its name ends in one, and what it is. */
export function familyHead(type: FamilyType, name: string, help: string): string[] {
  const unit = units.find((word) => name.endsWith(`_${word}`));
  return [
    `# TYPE ${name} ${type}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    `# HELP ${name} ${escapeText(help)}`,
  ];
}

export function sampleLines(name: string, reading: Reading): string[] {
  if (typeof reading === "number") return [`${name} ${reading}`];
  return reading.map(({ labels, value }) => `${name}${labelText(labels)} ${value}`);
}

/** Buckets hold everything up to their bound, so that each counts what the ones before it do. */
export function histogramLines(name: string, spread: Spread): string[] {
  const series = Array.isArray(spread) ? spread : [{ labels: {}, buckets: spread }];
  return series.flatMap(({ labels, buckets: { bounds, counts, sum } }) => {
    let below = 0;
    const lines = [...counts].map((found, at) => {
      below += found;
      const le = at < bounds.length ? floatText(bounds[at] ?? 0) : "+Inf";
      return `${name}_bucket${labelText({ ...labels, le })} ${below}`;
    });
    return [...lines, `${name}_count${labelText(labels)} ${below}`, `${name}_sum${labelText(labels)} ${sum}`];
  });
}

export function labelText(labels: Labels = {}): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeText(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

const units = ["seconds", "bytes"];

/** OpenMetrics wants bounds as floats. */
function floatText(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : String(bound);
}

function escapeText(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

/** A family as a strict reader of OpenMetrics 1.0 takes it in. */
export type ReadFamily = { type: string; unit: string; help: string; samples: ReadSample[] };
export type ReadSample = { name: string; labels: Record<string, string>; value: number };

const suffixes: Record<string, readonly string[]> = {
  counter: ["_total"],
  gauge: [""],
  histogram: ["_bucket", "_count", "_sum"],
  info: ["_info"],
};

/**
 * Reads an exposition as the specification says, by family name, and throws at the first thing that is not as it says:
 * https://prometheus.io/docs/specs/om/open_metrics_spec/
 */
export function readOpenMetrics(text: string): Map<string, ReadFamily> {
  const families = new Map<string, ReadFamily>();
  if (!text.endsWith("\n# EOF\n") && text !== "# EOF\n") throw new Error("it does not end with # EOF");
  const seen = new Set<string>();
  let current = "";
  for (const line of text.slice(0, -"# EOF\n".length).split("\n").slice(0, -1)) {
    if (line.startsWith("#")) current = readHead(families, line, current);
    else readSample(families, line, current, seen);
  }
  for (const [name, family] of families) checkFamily(name, family);
  return families;
}

function readHead(families: Map<string, ReadFamily>, line: string, current: string): string {
  const [, word = "", name = "", rest = ""] = /^# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line) ?? [];
  if (word === "") throw new Error(`no metadata: ${line}`);
  if (name !== current && families.has(name)) throw new Error(`${name} is told in two places`);
  const family = families.get(name) ?? { type: "", unit: "", help: "", samples: [] };
  families.set(name, family);
  const key = word.toLowerCase() as "type" | "unit" | "help";
  if (family[key] !== "") throw new Error(`${name} has two lines of ${word}`);
  if (family.samples.length > 0) throw new Error(`${word} of ${name} comes after its samples`);
  if (/(^|[^\\])(\\\\)*\\[^\\n"]|(^|[^\\])(\\\\)*"/.test(rest)) throw new Error(`unescaped text: ${line}`);
  family[key] = rest;
  return name;
}

function readSample(families: Map<string, ReadFamily>, line: string, current: string, seen: Set<string>): void {
  const [, name = "", labelText = "", number = ""] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  const family = families.get(current);
  if (name === "" || family === undefined) throw new Error(`no sample of a family: ${line}`);
  const allowed = suffixes[family.type]?.map((suffix) => `${current}${suffix}`);
  if (!allowed?.includes(name)) throw new Error(`${name} is no sample of the ${family.type} ${current}`);
  const labels = readLabels(labelText, line);
  const key = `${name} ${JSON.stringify(Object.entries(labels).toSorted())}`;
  if (seen.has(key)) throw new Error(`told twice: ${line}`);
  seen.add(key);
  if (!/^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/.test(number))
    throw new Error(`no number: ${line}`);
  family.samples.push({ name, labels, value: Number(number) });
}

function readLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== "") {
    const found = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,(?=.)|$)/.exec(rest);
    if (found === null) throw new Error(`no labels: ${line}`);
    const [whole, name = "", value = ""] = found;
    if (name in labels) throw new Error(`${name} is given twice: ${line}`);
    labels[name] = value.replaceAll(/\\(.)/g, (_, escaped) => (escaped === "n" ? "\n" : escaped));
    rest = rest.slice(whole.length);
  }
  return labels;
}

function checkFamily(name: string, { type, unit, help, samples }: ReadFamily): void {
  if (type === "") throw new Error(`${name} has no type`);
  if (help === "") throw new Error(`${name} has no help`);
  if (unit !== "" && !name.endsWith(`_${unit}`)) throw new Error(`${name} does not end in its unit`);
  if (unit === "" && /_(seconds|bytes)$/.test(name)) throw new Error(`${name} does not say its unit`);
  if (/_(total|bucket|count|sum|info|created)$/.test(name)) throw new Error(`${name} ends like a sample`);
  if (type === "counter" && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} counts below 0`);
  if (type === "histogram") checkHistogram(name, samples);
}

/** Each series: bounds ascend to +Inf, counts never fall, the last one is the count; and a sum. */
function checkHistogram(name: string, samples: ReadSample[]): void {
  const series = Map.groupBy(samples, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
  for (const [key, own] of series) {
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => (labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le)));
    const counts = buckets.map(({ value }) => value);
    const ascends = (values: number[], isNext: (value: number, before: number) => boolean) =>
      values.every((value, at) => at === 0 || isNext(value, values[at - 1] ?? 0));
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${name} ${key} does not end with +Inf`);
    if (!ascends(bounds, (value, before) => value > before)) throw new Error(`${name} ${key}: bounds do not ascend`);
    if (!ascends(counts, (value, before) => value >= before)) throw new Error(`${name} ${key} is not cumulative`);
    const count = own.find((sample) => sample.name === `${name}_count`)?.value;
    if (count !== counts.at(-1)) throw new Error(`${name} ${key}: its count is not that of +Inf`);
    if (own.filter((sample) => sample.name === `${name}_sum`).length !== 1)
      throw new Error(`${name} ${key} has no sum`);
  }
}

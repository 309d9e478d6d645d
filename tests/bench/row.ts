/** One line of the results: what was measured, its median over `rounds`, and what it is held against. */
export type Row = {
  name: string;
  unit: string;
  median: number;
  rounds: number[];
  reach?: number;
  better: "higher" | "lower";
  note?: string;
};

/** Runs a measurement several times and keeps every round. */
export async function measure(
  row: { name: string; unit: string; better: "higher" | "lower"; reach?: number; note?: string },
  roundsMax: number,
  once: () => Promise<number>,
): Promise<Row> {
  const rounds: number[] = [];
  for (let round = 0; round < roundsMax; round++) rounds.push(await once());
  const median = medianOf(rounds);
  process.stderr.write(`${row.name}: ${format(median)} ${row.unit}  (${rounds.map(format).join(", ")})\n`);
  return { ...row, median, rounds };
}

export function medianOf(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(2);
}

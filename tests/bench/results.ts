import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { format, type Row } from "./row.ts";

/** What was measured, group by group: a group that is measured again replaces itself alone. `load` is the machine's before it began. */
export type Results = {
  machine: { cpu: string; cores: number; memoryGb: number; bun: string };
  groups: Record<string, { at: string; load: number; rounds: number; seconds: number; rows: Row[] }>;
};

const path = join(import.meta.dir, "results.json");

/** The results of earlier runs on this kind of machine; none of another. */
export async function readResults(): Promise<Results> {
  const machine = {
    cpu: cpus()[0]?.model ?? "",
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    bun: Bun.version,
  };
  const file = Bun.file(path);
  const earlier: Results | null = (await file.exists()) ? await file.json() : null;
  return earlier !== null && Bun.deepEquals(earlier.machine, machine) ? earlier : { machine, groups: {} };
}

/** Formatted as `bun run check` wants it. */
export async function writeResults(results: Results): Promise<void> {
  await Bun.write(path, `${JSON.stringify(results, null, 2)}\n`);
  Bun.spawnSync([process.execPath, "fmt", path]);
}

export function loadNow(): number {
  return Math.round((loadavg()[0] ?? 0) * 10) / 10;
}

/** The results as the README shows them. */
export function resultsTable({ machine, groups }: Results): string {
  const rows = Object.values(groups).flatMap((group) => group.rows);
  const days = [...new Set(Object.values(groups).map(({ at }) => at.slice(0, 10)))];
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GiB, Bun ${machine.bun}, ${days.join(", ")}; load generator, service and Postgres on the same machine.`,
    "",
    "| what | median | reach |",
    "| --- | --- | --- |",
    ...rows.map((row) => `| ${row.name} | ${format(row.median)} ${row.unit} | ${verdictOn(row)} |`),
  ].join("\n");
}

function verdictOn({ median, reach, better, unit }: Row): string {
  if (reach === undefined) return "";
  const isReached = better === "higher" ? median >= reach : median <= reach;
  return `${better === "higher" ? "≥" : "≤"} ${format(reach)} ${unit} ${isReached ? "reached" : "**missed**"}`;
}

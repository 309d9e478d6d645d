import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { format, type Row } from "./row.ts";
import { automationRows } from "./rows-automations.ts";
import { chainRows } from "./rows-chains.ts";
import { functionRows } from "./rows-functions.ts";
import { memoryRows } from "./rows-memory.ts";
import { nodeRows } from "./rows-nodes.ts";
import { scriptRows } from "./rows-scripts.ts";
import { sseRows } from "./rows-sse.ts";
import { startRows } from "./rows-start.ts";

/*
 * `bun run bench [names …] [--rounds N] [--seconds N]`: everything side by side in one run; medians, every round, and what DESIGN.md wants to reach.
 */

const groups: Record<string, (rounds: number, seconds: number) => Promise<Row[]>> = {
  start: (rounds) => startRows(rounds),
  functions: functionRows,
  scripts: (rounds) => scriptRows(rounds),
  memory: () => memoryRows(),
  chains: (rounds) => chainRows(rounds),
  automations: (rounds) => automationRows(rounds),
  sse: sseRows,
  nodes: nodeRows,
};

const words = Bun.argv.slice(2);
const rounds = option("--rounds", 5);
const seconds = option("--seconds", 5);
const asked = words.filter((word, at) => !word.startsWith("--") && !words[at - 1]?.startsWith("--"));
const unknown = asked.filter((name) => !(name in groups));
if (unknown.length > 0) {
  process.stderr.write(`bench: there is no group ${unknown.join(", ")}; there are ${Object.keys(groups).join(", ")}\n`);
  process.exit(2);
}

const rows: Row[] = [];
for (const [name, run] of Object.entries(groups))
  if (asked.length === 0 || asked.includes(name)) rows.push(...(await run(rounds, seconds)));
const machine = {
  cpu: cpus()[0]?.model ?? "",
  cores: cpus().length,
  memoryGb: Math.round(totalmem() / 2 ** 30),
  bun: Bun.version,
};
await Bun.write(
  join(import.meta.dir, "results.json"),
  `${JSON.stringify({ at: new Date().toISOString(), machine, rounds, seconds, rows }, null, 2)}\n`,
);
process.stdout.write(`\n${table(rows)}\n`);
process.exit(0);

function table(results: Row[]): string {
  const lines = results.map(({ name, unit, median, reach, better }) => {
    const verdict =
      reach === undefined
        ? ""
        : `${better === "higher" ? "≥" : "≤"} ${format(reach)} ${unit} ${(better === "higher" ? median >= reach : median <= reach) ? "reached" : "missed"}`;
    return `| ${name} | ${format(median)} ${unit} | ${verdict} |`;
  });
  return ["| what | median | reach |", "| --- | --- | --- |", ...lines].join("\n");
}

function option(name: string, fallback: number): number {
  const value = Number(words[words.indexOf(name) + 1]);
  return words.includes(name) && value > 0 ? value : fallback;
}

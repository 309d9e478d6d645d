import { loadNow, readResults, resultsTable, writeResults } from "./results.ts";
import type { Row } from "./row.ts";
import { automationRows } from "./rows-automations.ts";
import { backlogRows } from "./rows-backlog.ts";
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
  backlog: (rounds) => backlogRows(rounds),
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

const results = await readResults();
for (const [name, run] of Object.entries(groups)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const load = loadNow();
  const rows = await run(rounds, seconds);
  results.groups[name] = { at: new Date().toISOString(), load, rounds, seconds, rows };
  await writeResults(results);
}
process.stdout.write(`\n${resultsTable(results)}\n`);
process.exit(0);

function option(name: string, fallback: number): number {
  const value = Number(words[words.indexOf(name) + 1]);
  return words.includes(name) && value > 0 ? value : fallback;
}

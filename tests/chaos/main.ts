import { parseArgs } from "node:util";
import { testDatabase } from "../support/database.ts";
import { endFile } from "../support/ending.ts";
import { type CampaignReport, faultsIn, runCampaign } from "./nodes/campaign.ts";
import { canSkewClocks } from "./nodes/cluster-nodes.ts";
import { faultKinds } from "./nodes/faults.ts";
import { openOwnDatabase } from "./nodes/own-database.ts";
import { runChaos } from "./run.ts";
import type { Verdict } from "./verdict.ts";

/**
 * `bun run chaos --minutes N --nodes N --seed N`: real nodes under load, disturbed for as long as one likes as the seed says; then, for
 * a moment, servers without the fence, in which the same questions have to find something.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    nodes: { type: "string", default: "3" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const minutes = Number(values.minutes);
const nodes = Number(values.nodes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isInteger(nodes) || nodes < 3 || !Number.isInteger(seed))
  throw new Error("usage: bun run chaos --minutes <more than 0> --nodes <3 or more> --seed <a number>");

const leaseS = 5;
/** Denser ones hit the same job three times now and then, which is then given up, as was promised. */
const betweenFaultsMs = 3_000;
const shownMost = 30;
const skewsS = canSkewClocks ? [0, 0, -86_400, -3_600, 3_600, 86_400] : [0];

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void endFile().then(() => process.exit(130)));

process.exit(await main());

async function main(): Promise<number> {
  const onProgress = (said: string) => console.error(said);
  onProgress(
    `seed ${seed}: ${nodes} nodes for ${minutes} min${canSkewClocks ? "" : ", without faketime their clocks are right"}`,
  );
  try {
    await using database = await openOwnDatabase();
    const plan = { kinds: faultKinds, ms: minutes * 60_000 };
    const options = {
      database,
      seed,
      nodes,
      leaseS,
      betweenFaultsMs,
      callers: 6,
      pauseMs: 60,
      skewsS,
      plan,
      onProgress,
    };
    const report = await runCampaign(options);
    print(report);
    const weak = await withoutFence();
    console.log(`with the fence off, which has to show: ${weak.finishedTwice.length} finished twice`);
    return faultsIn(report).length === 0 && weak.finishedTwice.length > 0 ? 0 : 1;
  } finally {
    await endFile();
  }
}

async function withoutFence(): Promise<Verdict> {
  const { address, sql } = await testDatabase();
  return runChaos({
    ...{ address, sql, servers: 3, isFenced: false, workMs: 800, pauseMs: 1_000 },
    ...{ kills: 0, freezes: 4, minMs: 0, maxMs: 40_000 },
  });
}

function print(report: CampaignReport): void {
  const { lost, finishedTwice, gaps, wrong, givenUp, complaints, ...counts } = report;
  const found = {
    lost,
    "finished twice": finishedTwice,
    "gaps in streams": gaps,
    "otherwise wrong": wrong,
    "given up after three losses": givenUp,
  };
  const summary = Object.entries(found).map(([what, list]) => `${list.length} ${what}`);
  console.log(`seed ${seed}, ${nodes} nodes: ${summary.join(", ")}`);
  for (const [name, count] of Object.entries(counts))
    console.log(`  ${name} ${typeof count === "object" ? told(count) : count}`);
  for (const line of faultsIn(report).slice(0, shownMost)) console.log(`  ${line}`);
  for (const history of givenUp.slice(0, shownMost)) console.log(`  given up: ${history}`);
  for (const [said, count] of Object.entries(complaints)) console.log(`  said ${count} times: ${said.slice(0, 200)}`);
}

function told(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
}

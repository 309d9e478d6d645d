import { parseArgs } from "node:util";
import { testDatabase } from "../support/database.ts";
import { endFile } from "../support/ending.ts";
import { type ChaosReport, runChaos } from "./run.ts";

/** `bun run chaos --minutes N --servers N`: the harness for as long as one likes, then once with the fence off. */
const { values } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, servers: { type: "string", default: "3" } },
});
const minutes = Number(values.minutes);
const servers = Number(values.servers);
if (!(minutes > 0) || !Number.isInteger(servers) || servers < 2)
  throw new Error("usage: bun run chaos --minutes <more than 0> --servers <2 or more>");

process.exit(await main());

async function main(): Promise<number> {
  const database = await testDatabase();
  const { address, sql } = database;
  const onProgress = (said: string) => console.error(said);
  try {
    const ms = minutes * 60_000;
    const options = { address, sql, servers, workMs: 80, pauseMs: 90, onProgress };
    const report = await runChaos({ ...options, isFenced: true, kills: 1, freezes: 1, minMs: ms, maxMs: ms });
    print("with the fence", report);
    const other = await testDatabase();
    const weakened = {
      ...options,
      address: other.address,
      sql: other.sql,
      isFenced: false,
      workMs: 800,
      pauseMs: 1_000,
    };
    const weak = await runChaos({ ...weakened, kills: 0, freezes: 4, minMs: 0, maxMs: 40_000 });
    print("with the fence off, which has to show", weak);
    const isSound = report.lost.length + report.finishedTwice.length + report.wrong.length === 0;
    return isSound && weak.finishedTwice.length > 0 ? 0 : 1;
  } finally {
    await endFile();
  }
}

function print(title: string, { lost, finishedTwice, wrong, complaints, ...counts }: ChaosReport): void {
  console.log(
    `\n${title}: ${lost.length} lost, ${finishedTwice.length} finished twice, ${wrong.length} otherwise wrong`,
  );
  console.log(
    Object.entries(counts)
      .map(([name, count]) => `  ${name} ${count}`)
      .join("\n"),
  );
  for (const line of [...lost, ...finishedTwice, ...wrong].slice(0, 20)) console.log(`  ${line}`);
  for (const [said, count] of Object.entries(complaints)) console.log(`  said ${count} times: ${said.slice(0, 200)}`);
}

import { expect, setDefaultTimeout, test } from "bun:test";
import { faultsIn, runCampaign } from "./nodes/campaign.ts";
import { openOwnDatabase } from "./nodes/own-database.ts";

setDefaultTimeout(240_000);

test("three nodes that are killed, frozen, drained and cut off under load, with their Postgres killed, lose nothing", async () => {
  await using database = await openOwnDatabase();
  const report = await runCampaign({
    ...{ database, seed: 6, nodes: 3, leaseS: 3, betweenFaultsMs: 900, callers: 4, pauseMs: 60, skewsS: [0] },
    plan: ["kill", "cut", "freeze", "postgres", "drain", "half-open", "stalled"],
  });
  expect(faultsIn(report)).toEqual([]);
  // Three losses of one job are rare, and a reason to give it up.
  expect(report.givenUp.length).toBeLessThan(3);
  expect(report.accepted).toBeGreaterThan(20);
  expect(report.runs.lost).toBeGreaterThan(0);
  expect(report.streams.connections).toBeGreaterThan(report.streams.followed);
  expect(report.ended).toBe(0);
});

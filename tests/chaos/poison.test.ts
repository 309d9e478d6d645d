import { expect, setDefaultTimeout, test } from "bun:test";
import { faultsIn, runCampaign } from "./nodes/campaign.ts";
import { openOwnDatabase } from "./nodes/own-database.ts";

setDefaultTimeout(240_000);

test("a job that kills its node stops after three runs, and those beside it reach their ends", async () => {
  await using database = await openOwnDatabase();
  const report = await runCampaign({
    ...{ database, seed: 8, nodes: 3, leaseS: 3, betweenFaultsMs: 900, callers: 4, pauseMs: 40, skewsS: [0] },
    plan: ["poison"],
  });
  expect(faultsIn(report)).toEqual([]);
  expect(report.givenUp).toEqual([]);
  expect(report.poisons).toEqual({ submitted: 1, stopped: 1, runs: 3 });
  expect(report.ended).toBeGreaterThan(0);
  expect(report.accepted).toBeGreaterThan(20);
});

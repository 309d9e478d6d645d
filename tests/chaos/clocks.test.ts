import { expect, setDefaultTimeout, test } from "bun:test";
import { faultsIn, runCampaign } from "./nodes/campaign.ts";
import { canSkewClocks } from "./nodes/cluster-nodes.ts";
import { openOwnDatabase } from "./nodes/own-database.ts";

setDefaultTimeout(240_000);

test.skipIf(!canSkewClocks)("three nodes whose clocks are hours and days apart lose nothing", async () => {
  await using database = await openOwnDatabase();
  const report = await runCampaign({
    ...{
      database,
      seed: 7,
      nodes: 3,
      leaseS: 3,
      betweenFaultsMs: 900,
      callers: 4,
      pauseMs: 60,
      skewsS: [-86_400, -3_600, 3_600, 86_400],
    },
    plan: ["kill", "freeze", "drain", "kill"],
  });
  expect(faultsIn(report)).toEqual([]);
  // Three losses of one job are rare, and a reason to give it up.
  expect(report.givenUp.length).toBeLessThan(3);
  expect(report.accepted).toBeGreaterThan(20);
});

import { expect, setDefaultTimeout, test } from "bun:test";
import { testDatabase } from "../support/database.ts";
import { runChaos } from "./run.ts";

setDefaultTimeout(300_000);

test("of what two servers accept while they are killed 40 times and frozen 10 times nothing is lost, and nothing ends twice", async () => {
  const { address, sql } = await testDatabase();
  const report = await runChaos({
    ...{ address, sql, servers: 2, isFenced: true, workMs: 80, pauseMs: 90 },
    ...{ kills: 40, freezes: 10, minMs: 0, maxMs: 270_000 },
  });
  expect(report.lost).toEqual([]);
  expect(report.finishedTwice).toEqual([]);
  expect(report.wrong).toEqual([]);
  expect(report.kills).toBeGreaterThanOrEqual(40);
  expect(report.freezes).toBeGreaterThanOrEqual(10);
  expect(report.accepted).toBeGreaterThan(100);
  expect(report.brokenOff).toBeGreaterThan(10);
  expect(report.executions).toBeGreaterThan(report.accepted);
  expect(report.givenUp).toBeLessThan(report.accepted / 20);
});

test("without the fence the same harness finds jobs that end twice", async () => {
  const { address, sql } = await testDatabase();
  const report = await runChaos({
    ...{ address, sql, servers: 2, isFenced: false, workMs: 800, pauseMs: 1_000 },
    ...{ kills: 0, freezes: 4, minMs: 0, maxMs: 60_000 },
  });
  expect(report.freezes).toBeGreaterThanOrEqual(4);
  expect(report.finishedTwice.length).toBeGreaterThan(0);
});

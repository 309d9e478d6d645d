import { expect, setDefaultTimeout, test } from "bun:test";
import { testDatabase } from "../support/database.ts";
import { runChaos } from "./run.ts";

setDefaultTimeout(240_000);

test("of what three servers accept while they are killed 25 times and frozen 6 times nothing is lost, and nothing ends twice", async () => {
  const { address, sql } = await testDatabase();
  const report = await runChaos({
    ...{ address, sql, servers: 3, isFenced: true, workMs: 80, pauseMs: 90 },
    ...{ kills: 25, freezes: 6, minMs: 0, maxMs: 150_000 },
  });
  expect(report.lost).toEqual([]);
  expect(report.finishedTwice).toEqual([]);
  expect(report.wrong).toEqual([]);
  expect(report.kills).toBeGreaterThanOrEqual(25);
  expect(report.freezes).toBeGreaterThanOrEqual(6);
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

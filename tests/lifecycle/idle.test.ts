import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { openCountingProxy } from "./counting-proxy.ts";
import { givenDatabase } from "./given-database.ts";
import { submitted } from "./job-calls.ts";
import { scratchDirectory, spawnServer } from "./server-process.ts";

setDefaultTimeout(60_000);

const settleMs = 2_000;
const watchedMs = 6_000;
const perSecondMax = 3;

test(`an idle server asks its database at most ${perSecondMax} times a second`, async () => {
  const { address } = await givenDatabase();
  const { host, statements } = await openCountingProxy(address);
  const server = await spawnServer({
    DATA_DIR: scratchDirectory("data"),
    DATABASE_URL: `postgres://${address.username}@localhost/${address.database}?host=${encodeURIComponent(host)}`,
  }).ready();
  await submitted(server, { function: "hello" });
  // The first round of housekeeping is over, and what a lone job leads to.
  await Bun.sleep(settleMs);
  const before = statements();
  await Bun.sleep(watchedMs);
  const perSecond = (statements() - before) / (watchedMs / 1_000);
  const rssMb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1]) / 1_024;
  console.log(`idle: ${perSecond.toFixed(1)} statements/s, ${rssMb.toFixed(0)} MiB resident`);
  expect(perSecond).toBeGreaterThan(0);
  expect(perSecond).toBeLessThanOrEqual(perSecondMax);
  expect(await server.stop()).toBe(0);
});

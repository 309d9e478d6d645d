import { bullmqDrain, bullmqRoundTrips } from "./peers/bullmq.ts";
import { graphileDrain, pgBossSends } from "./peers/postgres-peers.ts";
import { helloRate } from "./peers/hello-rate.ts";
import { addBacklog, ask, setWorking, waitingAt } from "./backlog.ts";
import { measure, type Row } from "./row.ts";
import { runLoad } from "./run-load.ts";
import { startBenchService } from "./service.ts";
import { startPeerDatabase } from "./peers/database.ts";

const hello = { function: "hello", input: { name: "Ada" }, contract: 1, mode: "sync" };
const drainCount = 100_000;
const slots = "64";
/** A claim costs about as much for one task as for ten, and takes as many as there are free slots. */
const drainSlots = "256";
const nearlyEmpty = 1_000;
const warmUpS = 10;

/** Function tasks over HTTP, as DESIGN.md 8 asks for them, and their peers in the same run. */
export async function functionRows(rounds: number, seconds: number): Promise<Row[]> {
  const rows: Row[] = [];
  const service = await startBenchService({ SLOTS: slots });
  // Not measured: what has just started runs interpreted at first, which says nothing of the second minute.
  await runLoad(`${service.url}/task`, { connections: 64, seconds: warmUpS, body: hello });
  rows.push(
    await measure(
      { name: "sync function, 64 in flight", unit: "/s", better: "higher", reach: 6_000 },
      rounds,
      async () => (await runLoad(`${service.url}/task`, { connections: 64, seconds, body: hello })).perSecond,
    ),
  );
  rows.push(
    await measure(
      { name: "sync function, one at a time, p50", unit: "ms", better: "lower", reach: 1.2 },
      rounds,
      async () => (await runLoad(`${service.url}/task`, { connections: 1, seconds, body: hello })).p50Ms,
    ),
  );
  await acceptRate(service.url, warmUpS);
  rows.push(
    await measure(
      {
        name: "accepted over HTTP (async), 64 in flight",
        unit: "/s",
        better: "higher",
        reach: 8_000,
        note: "the node is in maintenance: nothing runs meanwhile",
      },
      rounds,
      () => acceptRate(service.url, seconds),
    ),
  );
  await service.stop();
  rows.push(
    await measure(
      {
        name: `drained, 100,000 waiting, mixed priorities, ${drainSlots} slots`,
        unit: "/s",
        better: "higher",
        reach: 8_000,
      },
      Math.min(rounds, 3),
      () => drainRate(drainCount),
    ),
  );
  return [...rows, ...(await peerRows(rounds, seconds))];
}

async function peerRows(rounds: number, seconds: number): Promise<Row[]> {
  await using database = await startPeerDatabase();
  return [
    await measure({ name: "ceiling: Bun.serve hello, 64 in flight", unit: "/s", better: "higher" }, rounds, () =>
      helloRate(64, seconds),
    ),
    await measure(
      { name: "peer: BullMQ round trip, 64 in flight (no HTTP, not durable)", unit: "/s", better: "higher" },
      rounds,
      () => bullmqRoundTrips(64, seconds),
    ),
    await measure(
      { name: "peer: BullMQ round trip, one at a time (no HTTP, not durable)", unit: "/s", better: "higher" },
      rounds,
      () => bullmqRoundTrips(1, seconds),
    ),
    await measure({ name: "peer: BullMQ drains 100,000", unit: "/s", better: "higher" }, 1, () =>
      bullmqDrain(drainCount),
    ),
    await measure(
      { name: "peer: graphile-worker's local queue drains 100,000 (nothing recorded)", unit: "/s", better: "higher" },
      1,
      () => graphileDrain(database, drainCount),
    ),
    await measure({ name: "peer: pg-boss send, 64 in flight (no HTTP)", unit: "/s", better: "higher" }, rounds, () =>
      pgBossSends(database, 64, seconds),
    ),
  ];
}

async function acceptRate(url: string, seconds: number): Promise<number> {
  await setWorking(url, false);
  try {
    return (
      await runLoad(`${url}/api/v1/jobs`, {
        connections: 64,
        seconds,
        body: { function: "hello", input: { name: "Ada" } },
      })
    ).perSecond;
  } finally {
    await setWorking(url, true);
    await untilEmpty(url);
  }
}

/** A backlog is written while the node is in maintenance; the clock runs from `/on` until nothing waits or runs. */
async function drainRate(count: number): Promise<number> {
  const service = await startBenchService({ SLOTS: drainSlots });
  try {
    await setWorking(service.url, false);
    await addBacklog(service.url, count);
    const startedAt = performance.now();
    await setWorking(service.url, true);
    await untilEmpty(service.url);
    return count / ((performance.now() - startedAt) / 1_000);
  } finally {
    await service.stop();
  }
}

/** First as the node believes; then the database is asked for one job that has not ended. */
async function untilEmpty(url: string): Promise<void> {
  while ((await waitingAt(url)) > nearlyEmpty) await Bun.sleep(50);
  for (const status of ["queued", "running"]) {
    const isThereOne = async () =>
      (await ask<{ jobs: unknown[] }>(`${url}/api/v1/jobs?status=${status}&limit=1`)).jobs.length > 0;
    while (await isThereOne()) await Bun.sleep(50);
  }
}

import { openCountingProxy } from "../lifecycle/counting-proxy.ts";
import { endFile } from "../support/ending.ts";
import { measure, type Row } from "./row.ts";
import { claimRows } from "./rows-claim.ts";
import { runLoad } from "./run-load.ts";
import type { BenchService } from "./service.ts";
import { openSharedDatabase, type SharedDatabase } from "./shared-database.ts";
import { streamLag } from "./stream-lag.ts";

const nodeCounts = [1, 2, 4];
const slots = 10;
const napMs = 50;
const napsPerNode = 600;
/** Their processes compete for the cores. */
const scriptsPerNode = 100;
const manyReachFactor = 3;
const idleSettleMs = 5_000;
const idleMs = 10_000;
const nap = { function: "nap", input: { ms: napMs } };
const script = { script: "sleep 0.05; echo done" };
const sync = { function: "nap", input: { ms: 0 }, contract: 1, mode: "sync" };

/** Several nodes on one database: what more of them get done, what they cost while idle, and what one does for another. */
export async function nodeRows(rounds: number, seconds: number): Promise<Row[]> {
  const few = Math.min(rounds, 3);
  const rows: Row[] = [];
  for (const [what, job, perNode] of [
    [`${napMs} ms functions`, nap, napsPerNode],
    ["run.sh of 50 ms", script, scriptsPerNode],
  ] as const) {
    let alone = Number.NaN;
    for (const count of nodeCounts) {
      await using database = await openSharedDatabase();
      const nodes = await database.serve(count, { SLOTS: String(slots), SCRIPT_SLOTS: String(slots) });
      const name = `${what}, ${count} ${count === 1 ? "node" : "nodes"} of ${slots} slots`;
      const reach =
        count === 4 ? { reach: manyReachFactor * alone, note: "three times one node, where the cores allow" } : {};
      const row = await measure({ name, unit: "/s", better: "higher", ...reach }, few, () =>
        drainRate(nodes, job, perNode),
      );
      if (count === 1) alone = row.median;
      rows.push(row);
      await stop(nodes);
    }
  }
  rows.push(await idleRow(), ...(await betweenRows(rounds, seconds)), ...(await claimRows()));
  await endFile();
  return rows;
}

/** A backlog is written while all nodes are in maintenance; the clock runs from the first `/on` until nothing waits or runs. */
async function drainRate(nodes: readonly BenchService[], job: object, perNode: number): Promise<number> {
  const [first] = nodes;
  if (first === undefined) throw new Error("there is no node");
  const count = perNode * nodes.length;
  await post(nodes, "/off");
  for (let added = 0; added < count; added += perNode) {
    const jobs = Array.from({ length: perNode }, () => job);
    await ask(first.url, "/api/v1/jobs/batch", jobs);
  }
  const startedAt = performance.now();
  await post(nodes, "/on");
  await untilEmpty(first.url);
  return count / ((performance.now() - startedAt) / 1_000);
}

async function idleRow(): Promise<Row> {
  await using database = await openSharedDatabase();
  const { host, statements } = await openCountingProxy(database.address);
  const { username, database: name } = database.address;
  const url = `postgres://${username}@localhost/${name}?host=${encodeURIComponent(host)}`;
  const nodes = await database.serve(4, { DATABASE_URL: url });
  await Bun.sleep(idleSettleMs);
  const row = await measure(
    { name: "4 idle nodes together", unit: "statements/s", better: "lower", reach: 10 },
    1,
    async () => {
      const before = statements();
      await Bun.sleep(idleMs);
      return (statements() - before) / (idleMs / 1_000);
    },
  );
  await stop(nodes);
  return row;
}

/** One node that only takes and tells, one that works, and one that does both for comparison. */
async function betweenRows(rounds: number, seconds: number): Promise<Row[]> {
  await using database = await openSharedDatabase();
  const alone = await database.serve(1);
  const p50 = (url: string) => async () =>
    (await runLoad(`${url}/task`, { connections: 1, seconds, body: sync })).p50Ms;
  const own = await measure(
    { name: "sync function on one node, one at a time, p50", unit: "ms", better: "lower" },
    rounds,
    p50(alone[0]?.url ?? ""),
  );
  await stop(alone);
  const [front, back] = await frontAndBack(database);
  const across = await measure(
    {
      ...{ name: "the same taken by one node and run by another, p50", unit: "ms", better: "lower" },
      reach: own.median + 5,
      note: "at most 5 ms more than on one node",
    },
    rounds,
    p50(front.url),
  );
  const lag = await measure(
    {
      name: "stream of another node's job, 100 events/s, 10 readers, lag p99",
      unit: "ms",
      better: "lower",
      reach: 100,
    },
    Math.min(rounds, 3),
    async () => {
      const lagAt = await streamLag({ writeUrl: back.url, readUrl: front.url, readers: 10, perSecond: 100, seconds });
      return lagAt(0.99);
    },
  );
  await stop([front, back]);
  return [own, across, lag];
}

async function frontAndBack(database: SharedDatabase): Promise<[BenchService, BenchService]> {
  const [front] = await database.serve(1, {}, ["--no-work"]);
  const [back] = await database.serve(1);
  if (front === undefined || back === undefined) throw new Error("a node is missing");
  return [front, back];
}

async function untilEmpty(url: string): Promise<void> {
  for (;;) {
    const { queues } = (await (await fetch(`${url}/api/v1/queues`)).json()) as {
      queues: { backlog: number; running?: number }[];
    };
    if (queues.every(({ backlog, running = 0 }) => backlog === 0 && running === 0)) return;
    await Bun.sleep(20);
  }
}

async function post(nodes: readonly BenchService[], path: string): Promise<void> {
  await Promise.all(nodes.map(({ url }) => ask(url, path, {})));
}

async function ask(url: string, path: string, body: unknown): Promise<void> {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${text.slice(0, 200)}`);
}

async function stop(nodes: readonly BenchService[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.stop()));
}

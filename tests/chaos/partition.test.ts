import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { givenDatabase } from "../lifecycle/given-database.ts";
import { accepted, ended, submitted, untilRunning } from "../lifecycle/job-calls.ts";
import { scratchDirectory } from "../lifecycle/server-process.ts";
import { until } from "../support/until.ts";
import { type ClusterNode, ClusterNodes } from "./nodes/cluster-nodes.ts";

setDefaultTimeout(120_000);

const leaseS = 3;
const ways = ["cut", "stalled", "half-open"] as const;
const runMs = 4 * leaseS * 1_000;
const directory = scratchDirectory("beats");

let database: Awaited<ReturnType<typeof givenDatabase>>;
let cluster: ClusterNodes;

beforeAll(async () => {
  database = await givenDatabase();
  cluster = new ClusterNodes({
    address: database.address,
    names: [...ways, "healthy"],
    leaseS,
    environment: { DRAIN_GRACE: "5" },
  });
  await cluster.start();
});

afterAll(async () => {
  await cluster.stop();
});

test("nodes that lose the database stop what they run before another begins it, and go on when it is back", async () => {
  const healthy = nodeNamed("healthy");
  const runs = Object.fromEntries(await Promise.all(ways.map(async (way) => [way, await startedOn(way)] as const)));
  for (const way of ways) nodeNamed(way).link.state = way;
  for (const way of ways) {
    const { id } = runs[way] ?? {};
    await until(`${way} runs elsewhere`, async () => (await nodeOf(id)) === "healthy", { withinMs: 40_000 });
  }
  for (const way of ways) nodeNamed(way).link.state = "open";
  for (const way of ways) {
    const { id = "", file = "" } = runs[way] ?? {};
    expect(await ended(healthy.server, id)).toMatchObject({ status: "succeeded", attempts: 1 });
    const spans = spansIn(file);
    expect(spans).toHaveLength(2);
    expect(spans[0]?.toMs).toBeLessThan(spans[1]?.fromMs ?? 0);
  }
  for (const way of ways) {
    const { server } = nodeNamed(way);
    await until(`${way} is ready`, async () => (await server.call("/readyz")).status === 200, { withinMs: 40_000 });
    expect(await submitted(server, { function: "nap", input: { ms: 1 } })).toMatchObject({ status: "succeeded" });
    await until(`${way} holds its lease`, () => isLeased(way), { withinMs: 40_000 });
  }
});

function nodeNamed(name: string): ClusterNode {
  const found = cluster.nodes.find((node) => node.name === name);
  if (found === undefined) throw new Error(`there is no node ${name}`);
  return found;
}

/** A job that runs on this node. Any other may take it first: then there is a next one. */
async function startedOn(name: string): Promise<{ id: string; file: string }> {
  const { server } = nodeNamed(name);
  for (let tries = 0; tries < 50; tries++) {
    const id = `${name}-${tries}`;
    const file = join(directory, id);
    await accepted(server, { id, function: "beat", input: { file, ms: runMs } });
    await untilRunning(server, id);
    if ((await nodeOf(id)) === name) return { id, file };
    await server.post(`/api/v1/jobs/${id}/cancel`, {});
  }
  throw new Error(`nothing starts on ${name}`);
}

async function nodeOf(id = ""): Promise<string | null> {
  const [row] = await database.sql<{ node: string | null }[]>`
    SELECT node_id AS node FROM tasks WHERE job_id = ${id} AND status = 'running'`;
  return row?.node ?? null;
}

async function isLeased(name: string): Promise<boolean> {
  return (await database.sql`SELECT 1 FROM nodes WHERE id = ${name} AND lease_until > now()`).length === 1;
}

/** From when to when each execution went on, in the order of their beginning. */
function spansIn(file: string): { fromMs: number; toMs: number }[] {
  const spans = new Map<string, { fromMs: number; toMs: number }>();
  for (const line of readFileSync(file, "utf8").trim().split("\n")) {
    const [execution = "", at = ""] = line.split(" ");
    spans.set(execution, { fromMs: spans.get(execution)?.fromMs ?? Number(at), toMs: Number(at) });
  }
  return [...spans.values()].toSorted((a, b) => a.fromMs - b.fromMs);
}

import { expect, setDefaultTimeout, test } from "bun:test";
import { givenDatabase } from "../lifecycle/given-database.ts";
import { accepted } from "../lifecycle/job-calls.ts";
import { until } from "../support/until.ts";
import { audit, unended } from "./nodes/audit.ts";
import { startCallers } from "./nodes/callers.ts";
import { ClusterNodes } from "./nodes/cluster-nodes.ts";
import { Random } from "./nodes/random.ts";

setDefaultTimeout(180_000);

const turnedAway = ["503", "ECONNREFUSED", "ConnectionRefused"];

test("a rolling restart of three nodes under load loses nothing, charges nothing, and breaks no stream", async () => {
  const { address, sql } = await givenDatabase();
  const cluster = new ClusterNodes({
    address,
    names: ["a", "b", "c"],
    leaseS: 15,
    environment: { DRAIN_GRACE: "1", DRAIN_NOTICE: "1" },
  });
  await cluster.start();
  const random = new Random(1);
  const { journal, stop } = startCallers({
    ...{ cluster, random, callers: 8, pauseMs: 30, answerWithinMs: 60_000 },
    kinds: ["nap", "talk", "nap", "sync", "keyed", "talk"],
  });
  const codes: number[] = [];
  for (const node of cluster.nodes) {
    const { size } = journal.accepted;
    await until("there are streams to break", () => journal.accepted.size > size + 20, { withinMs: 60_000 });
    // Longer than the grace, so that some go back.
    for (let n = 0; n < 6; n++) {
      const { id } = await accepted(node.server, {
        id: `long-${codes.length}-${n}`,
        function: "nap",
        input: { ms: 4_000 },
      });
      journal.accepted.set(id, "nap");
    }
    codes.push(await cluster.drain(node));
  }
  await stop();
  await until("all has ended", async () => (await unended(sql, journal)).length === 0, { withinMs: 60_000 });
  const found = await audit(sql, journal);
  console.log(`rolling restart: ${JSON.stringify(found)}, retries ${JSON.stringify([...journal.retries])}`);
  expect(codes).toEqual([0, 0, 0]);
  expect(found).toMatchObject({ lost: [], finishedTwice: [], gaps: [], wrong: [], givenUp: [] });
  expect(found.succeeded).toBe(found.accepted);
  expect(found.runs.lost).toBe(0);
  expect(found.runs.interrupted).toBeGreaterThan(0);
  expect(found.streams.connections).toBeGreaterThan(found.streams.followed);
  // Nobody was left in the middle of a request, save whose request crossed the end of its idle connection.
  const broken = [...journal.retries].filter(([why]) => !turnedAway.includes(why));
  expect(broken.filter(([why]) => why !== "ECONNRESET")).toEqual([]);
  expect(broken[0]?.[1] ?? 0).toBeLessThanOrEqual(codes.length);
  const charged = await sql`SELECT job_id FROM tasks WHERE attempt <> 1`;
  expect(charged).toHaveLength(0);
  expect(await cluster.stop()).toEqual([0, 0, 0]);
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type Database, openDatabase } from "../../src/db/client.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { openNode } from "../support/engine.ts";
import { until } from "../support/until.ts";
import { senderOn } from "./support/delivery-rows.ts";

const kills = 8;
const jobsPerLife = 25;
const program = join(import.meta.dir, "support/finishing-process.ts");

let database: TestDatabase;
let db: Database;
/** What the receiver has taken: webhook ids by job. */
const taken = new Map<string, string[]>();
let answered = 0;

const receiver = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    const { id } = (await request.json()) as { id: string };
    taken.set(id, [...(taken.get(id) ?? []), request.headers.get("webhook-id") ?? ""]);
    // Some are killed while it thinks.
    await Bun.sleep((answered++ % 4) * 10);
    return new Response("ok");
  },
});

beforeAll(async () => {
  database = await testDatabase();
  db = openDatabase(database.address);
});
afterAll(async () => {
  await receiver.stop(true);
  await db.close();
});

test("every end that was recorded is told, under one id, however often the process is killed", async () => {
  for (let life = 0; life < kills; life++) await liveAndDie(life);
  // Another process takes over what the killed ones left behind.
  const node = await openNode(database.address, { nodeId: "finisher" });
  const sender = senderOn(db.sql, { retries: { retriesMax: 20, delayMs: 20 } });
  sender.wake();
  await until("every job has ended", async () => (await countOf("jobs WHERE finished_at IS NULL")) === 0, {
    withinMs: 20_000,
  });
  await until("every delivery is done", async () => (await countOf("deliveries WHERE state = 'pending'")) === 0, {
    withinMs: 20_000,
  });
  await sender.stop();
  await node.stop();

  const rows = await db.sql<{ job: string; ids: string[]; states: string[] }[]>`
    SELECT j.id AS job, array_agg(d.id) AS ids, array_agg(d.state) AS states
    FROM jobs j LEFT JOIN deliveries d ON d.job_id = j.id GROUP BY j.id`;
  expect(rows.length).toBeGreaterThanOrEqual(100);
  for (const { job, ids, states } of rows) {
    expect(states).toEqual(["delivered"]);
    expect(new Set(taken.get(job))).toEqual(new Set(ids));
  }
}, 60_000);

/** Kills the process while it ends jobs and tells of them. */
async function liveAndDie(life: number): Promise<void> {
  const before = taken.size;
  const child = Bun.spawn(
    [
      process.execPath,
      program,
      JSON.stringify(database.address),
      `http://127.0.0.1:${receiver.port}/hook`,
      `life${life}`,
      String(jobsPerLife),
    ],
    { stdout: "ignore", stderr: "inherit" },
  );
  await until("it has begun to tell", () => taken.size > before + (life % 4) * 5, { withinMs: 20_000, everyMs: 1 });
  child.kill("SIGKILL");
  await child.exited;
}

async function countOf(what: string): Promise<number> {
  const [row] = await db.sql.unsafe<{ count: number }[]>(`SELECT count(*)::int AS count FROM ${what}`);
  return row?.count ?? 0;
}

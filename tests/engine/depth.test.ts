import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Depth, lookedAtMax, readDepth } from "../../src/engine/depth.ts";
import { jobOf, openNode, taskOf, type TestNode } from "../support/engine.ts";
import { testDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
let node: TestNode;
beforeAll(async () => {
  database = await testDatabase();
  node = await openNode(database.address, { isStarted: false });
}, 60_000);
afterAll(async () => {
  await node.stop();
  await database.drop();
});

const shown = ({ waiting }: Depth) =>
  waiting
    .map(({ runner, priority, surface, state, tasks }) => [runner, priority, surface, state, tasks].join(" "))
    .sort();

test("the depth of the queues is told by runner, class of priority, surface and what is waited for", async () => {
  const { submitter, db } = node;
  const soon = new Date(Date.now() + 3_600_000);
  await submitter.submit(jobOf());
  await submitter.submit(jobOf());
  await submitter.submit(jobOf({ surface: "andera", priority: -5 }));
  await submitter.submit(
    jobOf({ surface: "optexity", priority: 2_097_152, tasks: [taskOf("x", { runner: "script" })] }),
  );
  await submitter.submit(jobOf({ runAt: soon }));
  await submitter.submit(jobOf({ held: true }));
  expect(shown(await readDepth(db.sql))).toEqual([
    "function high andera ready 1",
    "function usual api delayed 1",
    "function usual api ready 2",
    "script low optexity ready 1",
  ]);
});

test("the oldest wait is that of the longest waiting task that could run, of every priority", async () => {
  const { db } = node;
  await db.sql`UPDATE tasks SET queued_at = now() - make_interval(secs => CASE runner WHEN 'script' THEN 100 ELSE 50 END)`;
  const { oldest } = await readDepth(db.sql);
  const waited = (runner: string, priority: string) =>
    Math.round(oldest.find((one) => one.runner === runner && one.priority === priority)?.waitedS ?? -1);
  expect(oldest).toHaveLength(3);
  expect(waited("script", "low")).toBeGreaterThanOrEqual(100);
  expect(waited("function", "usual")).toBeGreaterThanOrEqual(50);
});

test("more than is looked at is not told, save for the oldest of a priority behind it", async () => {
  const { db } = node;
  await db.sql.unsafe(`INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, queued_at)
    SELECT 'many-' || i, 'opteryx', 'test', 'container', 'queued', CASE i WHEN 0 THEN 9 ELSE 2 END, 'x', '{}', now() FROM generate_series(0, ${lookedAtMax}) i`);
  await db.sql.unsafe(`INSERT INTO tasks (job_id, index, runner, target, status, priority, timeout_ms, queued_at)
    SELECT id, 0, runner, 'x', 'queued', priority, 1000, CASE priority WHEN 9 THEN now() - interval '1 day' ELSE now() END FROM jobs WHERE runner = 'container'`);
  const depth = await readDepth(db.sql);
  expect(shown(depth)).toContain(`container low opteryx ready ${lookedAtMax}`);
  const oldest = depth.oldest.find(({ runner }) => runner === "container");
  expect(oldest?.waitedS ?? 0).toBeGreaterThanOrEqual(86_400);
});

test("nodes, running tasks and webhooks are counted, those that have stopped or been delivered are not", async () => {
  const { sql } = node.db;
  await sql.unsafe(`INSERT INTO nodes (id, boot_id, version, renewed_at, lease_until, draining) VALUES
    ('a', gen_random_uuid(), '1', now(), now() + interval '1 minute', false),
    ('b', gen_random_uuid(), '1', now(), now() + interval '1 minute', true),
    ('c', gen_random_uuid(), '1', now() - interval '2 minutes', now() - interval '1 minute', false),
    ('d', gen_random_uuid(), '1', now(), now(), false)`);
  await sql.unsafe(`INSERT INTO deliveries (id, job_id, event, url, content_type, body, state, next_at) VALUES
    ('m1', 'x', 'completed', 'http://a', 't', '', 'pending', now() - interval '30 s'),
    ('m2', 'x', 'completed', 'http://a', 't', '', 'pending', now() + interval '1 h'),
    ('m3', 'x', 'completed', 'http://a', 't', '', 'delivered', NULL)`);
  const { nodes, deliveries, running } = await readDepth(sql);
  expect(nodes.map(({ state, nodes: count }) => `${state} ${count}`).sort()).toEqual([
    "draining 1",
    "lost 1",
    "ready 1",
  ]);
  expect(deliveries.pending).toBe(2);
  expect(deliveries.overdueS).toBeGreaterThanOrEqual(30);
  expect(running.map(({ runner }) => runner).sort()).toEqual(["automation", "container", "function", "script"]);
});

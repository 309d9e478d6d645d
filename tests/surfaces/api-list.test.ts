import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Job } from "../../src/surfaces/api/wire-job.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

type Page = { jobs: Job[]; next: string | null };
type Problem = { status: number; code: string; errors?: { pointer: string }[] };

let service: Service;
beforeAll(async () => {
  service = await startService({ SANDBOX: "none", SLOTS: "1" });
}, 60_000);
afterAll(() => service.stop());

const waiting = { prefer: "wait=15" };
const submit = async (body: unknown, headers: Record<string, string> = {}) =>
  (await (await service.post("/api/v1/jobs", body, headers)).json()) as Job;
const list = async (query: Record<string, string>) => {
  const response = await service.call(`/api/v1/jobs?${new URLSearchParams(query)}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
};
const idsOf = ({ jobs }: Page) => jobs.map(({ id }) => id);

describe("the list", () => {
  test("shows every job once, newest first, over pages of any size", async () => {
    const tag = crypto.randomUUID();
    const batch = Array.from({ length: 23 }, () => ({ function: "hello", hold: true, tags: [tag] }));
    const entries = (await (await service.post("/api/v1/jobs/batch", batch)).json()) as { job: Job }[];
    for (const limit of [1, 7, 23, 200]) {
      const seen: Job[] = [];
      for (let after: string | null = ""; after !== null;) {
        const page: Page = await list({ tag, limit: String(limit), ...(after === "" ? {} : { after }) });
        expect(page.jobs.length).toBeLessThanOrEqual(limit);
        seen.push(...page.jobs);
        after = page.next;
      }
      expect(new Set(seen.map(({ id }) => id))).toEqual(new Set(entries.map(({ job }) => job.id)));
      expect(seen).toHaveLength(23);
      const order = seen.map(({ created_at, id }) => `${created_at} ${id}`);
      expect(order).toEqual(order.toSorted().reverse());
    }
  });

  test("keeps its place while jobs are added", async () => {
    const tag = crypto.randomUUID();
    const make = () => submit({ function: "hello", hold: true, tags: [tag] });
    const old = [await make(), await make(), await make()];
    const first = await list({ tag, limit: "2" });
    await make();
    const second = await list({ tag, limit: "2", after: first.next ?? "" });
    expect([...idsOf(first), ...idsOf(second)]).toEqual(old.map(({ id }) => id).reverse());
    expect(second.next).toBeNull();
  });

  test("is filtered by status, runner, surface, client and tag, together", async () => {
    const tag = crypto.randomUUID();
    const held = await submit({ function: "hello", hold: true, tags: [tag, "x"] });
    const done = await submit({ function: "hello", tags: [tag] }, waiting);
    const failed = await submit({ script: "exit 1", tags: [tag] }, waiting);
    const found = async (query: Record<string, string>) => new Set(idsOf(await list({ tag, ...query })));
    expect(await found({ status: "queued" })).toEqual(new Set([held.id]));
    expect(await found({ status: "succeeded,failed" })).toEqual(new Set([done.id, failed.id]));
    expect(await found({ status: "queued,running" })).toEqual(new Set([held.id]));
    expect(await found({ status: "queued,failed" })).toEqual(new Set([held.id, failed.id]));
    expect(await found({ runner: "script" })).toEqual(new Set([failed.id]));
    expect(await found({ surface: "api", runner: "function", status: "succeeded" })).toEqual(new Set([done.id]));
    expect(await found({ surface: "andera" })).toEqual(new Set());
    expect(await found({ client: done.client })).toEqual(new Set([held.id, done.id, failed.id]));
    expect(await found({ client: "key:other" })).toEqual(new Set());
  });

  test("ends a page early when its jobs are large", async () => {
    const tag = crypto.randomUUID();
    for (let at = 0; at < 3; at++) await submit({ function: "hello", hold: true, tags: [tag] });
    await service.rooms.database.db.sql`
      UPDATE jobs SET input = json_build_object('text', (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 60000)))
      WHERE ${tag} = ANY (tags)`;
    const sizes: number[] = [];
    for (let after: string | null = ""; after !== null;) {
      const page: Page = await list({ tag, ...(after === "" ? {} : { after }) });
      sizes.push(page.jobs.length);
      after = page.next;
    }
    expect(sizes.reduce((sum, size) => sum + size)).toBe(3);
    expect(Math.max(...sizes)).toBeLessThan(3);
  });

  const wrong: [string, string][] = [
    ["limit=0", "/query/limit"],
    ["limit=201", "/query/limit"],
    ["limit=x", "/query/limit"],
    ["limit=1&limit=2", "/query/limit"],
    ["status=done", "/query/status"],
    ["status=queued,", "/query/status"],
    ["runner=docker", "/query/runner"],
    ["surface=soap", "/query/surface"],
    ["stauts=queued", "/query/stauts"],
    ["tag=%00", "/query/tag"],
    [`tag=${"x".repeat(101)}`, "/query/tag"],
    [`q=${"x".repeat(10_240)}`, "/query/q"],
    ["q=a%00b", "/query/q"],
    [`after=${"x".repeat(601)}`, "/query/after"],
  ];
  test.each(wrong)("refuses ?%s", async (query, pointer) => {
    const response = await service.call(`/api/v1/jobs?${query}`);
    expect(response.status).toBe(422);
    expect(((await response.json()) as Problem).errors?.map((error) => error.pointer)).toEqual([pointer]);
  });
});

describe("a cursor", () => {
  test("that was changed in any place is refused", async () => {
    const tag = crypto.randomUUID();
    for (let at = 0; at < 2; at++) await submit({ function: "hello", hold: true, tags: [tag] });
    const { next } = await list({ tag, limit: "1" });
    const cursor = next ?? "";
    expect((await list({ tag, limit: "1", after: cursor })).jobs).toHaveLength(1);
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const changed = [...cursor].map((char, at) => {
      const other = alphabet[(alphabet.indexOf(char) + 1 + (at % 62)) % 64];
      return `${cursor.slice(0, at)}${other}${cursor.slice(at + 1)}`;
    });
    const others = [
      cursor.slice(1),
      cursor.slice(0, -1),
      `${cursor}A`,
      cursor + cursor,
      cursor.toLowerCase(),
      "AAAA",
      "..",
      "é",
      "' OR 1=1",
      "{}",
    ];
    for (const text of [...changed, ...others]) {
      const response = await service.call(`/api/v1/jobs?${new URLSearchParams({ tag, limit: "1", after: text })}`);
      expect(response.status, text).toBe(400);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect(((await response.json()) as Problem).code).toBe("invalid");
    }
  });

  test("of another query is refused", async () => {
    const tag = crypto.randomUUID();
    for (let at = 0; at < 2; at++) await submit({ function: "hello", hold: true, tags: [tag] });
    const { next } = await list({ tag, limit: "1" });
    for (const query of [{}, { tag, status: "queued" }, { tag: "other" }]) {
      const response = await service.call(`/api/v1/jobs?${new URLSearchParams({ ...query, after: next ?? "" })}`);
      expect(response.status).toBe(400);
    }
  });
});

describe("a search", () => {
  const marks: Record<string, { body: unknown; query: string }> = {};
  beforeAll(async () => {
    const word = crypto.randomUUID().slice(0, 8);
    marks["its id"] = { body: { id: `ID-${word}.1:x`, function: "hello", hold: true }, query: `id-${word}.1:X` };
    marks["its input, whatever the case"] = {
      body: { function: "hello", input: { name: `Grün ${word}` } },
      query: `GRüN ${word.toUpperCase()}`,
    };
    marks["a percent sign"] = {
      body: { function: "hello", input: { name: `${word} 100%_x` } },
      query: `${word} 100%_`,
    };
    marks["a backslash"] = { body: { function: "hello", input: { name: `${word}\\back` } }, query: `${word}\\b` };
    marks["a quote within a text"] = {
      body: { function: "hello", input: { name: `say "${word}" now` } },
      query: `say "${word}"`,
    };
    marks["JSON as it stands"] = {
      body: { function: "hello", input: { name: `j${word}` } },
      query: `"name":"j${word}"`,
    };
    marks["its output"] = { body: { function: "hello", input: { name: `out${word}` } }, query: `Hello out${word}!` };
    marks["an apostrophe"] = {
      body: { function: "hello", input: { name: `${word}'; DROP TABLE jobs; --` } },
      query: `${word}'; DROP`,
    };
    marks["another script"] = { body: { function: "hello", input: { name: `${word} 日本語` } }, query: `${word} 日本` };
  });

  test.each([
    "its id",
    "its input, whatever the case",
    "a percent sign",
    "a backslash",
    "a quote within a text",
    "JSON as it stands",
    "its output",
    "an apostrophe",
    "another script",
  ])("finds a job by %s, and that job alone", async (name) => {
    const { body, query } = marks[name] ?? { body: {}, query: "" };
    const job = await submit(body, (body as { hold?: boolean }).hold ? {} : waiting);
    await submit({ function: "hello", input: { name: "something else 100x_" } }, waiting);
    const found = await list({ q: query });
    expect(idsOf(found)).toEqual([job.id]);
  });

  test("finds a job by its error", async () => {
    const failed = await submit({ script: "exit 77" }, waiting);
    expect(idsOf(await list({ q: failed.error?.message ?? "no error" }))).toEqual([failed.id]);
  });

  test("takes signs of the pattern language for themselves", async () => {
    for (const q of ["%", "_", "%%%_", "\\", "\\%"]) {
      const { jobs } = await list({ q, limit: "200" });
      const texts = jobs.map((job) => JSON.stringify([job.id, job.input, job.result, job.error, job.tasks]));
      // JSON writes some signs with a backslash, and is searched as it stands.
      for (const text of texts) expect(text.includes(q) || text.includes(JSON.stringify(q).slice(1, -1))).toBe(true);
    }
  });

  test("that finds nothing in many jobs ends, page by page", async () => {
    await service.rooms.database.db.sql`
      INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, created_at, finished_at)
      SELECT 'filler-' || n, 'api', 'test', 'function', 'succeeded', 1, 'hello', '{"name":"filler"}', now() - n * interval '1 ms', now()
      FROM generate_series(1, 60000) n`;
    let pages = 0;
    const startedMs = performance.now();
    for (let after: string | null = ""; after !== null; pages++) {
      const page: Page = await list({ q: "nowhere-to-be-found", ...(after === "" ? {} : { after }) });
      expect(page.jobs).toEqual([]);
      after = page.next;
    }
    expect(pages).toBeGreaterThan(1);
    expect((performance.now() - startedMs) / pages).toBeLessThan(4_000);
    expect((await list({ status: "running" })).next).toBeNull();
    await service.rooms.database.db.sql`DELETE FROM jobs WHERE id LIKE 'filler-%'`;
  }, 30_000);
});

describe("what a queued job waits for", () => {
  const reasonOf = async (id: string) => ((await (await service.call(`/api/v1/jobs/${id}`)).json()) as Job).waiting;
  const countdown = { function: "countdown", input: { from: 100, intervalMs: 1_000 } };

  test("is its release", async () => {
    const job = await submit({ function: "hello", hold: true });
    expect(await reasonOf(job.id)).toEqual({ position: null, reason: "held" });
  });

  test("is a slot, and its place in the line", async () => {
    const running = await submit(countdown);
    await until("it runs", async () => (await reasonOf(running.id)) === undefined);
    // The nodes say every three seconds how many of their slots are in use.
    const first = await submit({ ...countdown, priority: 5 });
    const second = await submit({ ...countdown, priority: 5 });
    const urgent = await submit({ ...countdown, priority: 4 });
    await until("the slots are known", async () => (await reasonOf(first.id))?.reason === "no free slot");
    expect(await reasonOf(urgent.id)).toEqual({ position: 1, reason: "no free slot" });
    expect(await reasonOf(first.id)).toEqual({ position: 2, reason: "no free slot" });
    expect(await reasonOf(second.id)).toEqual({ position: 3, reason: "no free slot" });
    const shown = (await list({ status: "queued" })).jobs.find(({ id }) => id === second.id);
    expect(shown?.waiting).toEqual({ position: 3, reason: "no free slot" });
    const queue = await queueOf("function");
    expect(queue).toMatchObject({ backlog: 3, running: 1, slots: { used: 1, limit: 1 } });
    expect(queue.oldest_waiting_s).toBeGreaterThan(0);
    for (const job of [running, first, second, urgent]) await service.post(`/api/v1/jobs/${job.id}/cancel`, "");
  });

  test("is its key", async () => {
    const concurrency = { key: crypto.randomUUID(), max: 1 };
    const script = { script: "sleep 30", concurrency };
    const first = await submit(script);
    await until("the first runs", async () => (await reasonOf(first.id)) === undefined);
    const second = await submit(script);
    await until("the second is parked", async () => (await reasonOf(second.id))?.reason === "concurrency key full");
    expect((await queueOf("script")).parked).toBe(1);
    await service.post(`/api/v1/jobs/${first.id}/cancel`, "");
    await until("the second runs", async () => (await reasonOf(second.id)) === undefined);
    await service.post(`/api/v1/jobs/${second.id}/cancel`, "");
  });

  test("is the end of a pause", async () => {
    expect((await service.post("/api/v1/queues/script/pause", "")).status).toBe(200);
    await until("the node knows", () => service.rooms.engine.view.paused.has("script"));
    const job = await submit({ script: "true" });
    expect(await reasonOf(job.id)).toMatchObject({ reason: "paused", position: 1 });
    expect(await queueOf("script")).toMatchObject({ paused: true, paused_by: "ip:127.0.0.1", backlog: 1 });
    expect((await service.post("/api/v1/queues/script/resume", "")).status).toBe(200);
    await until("it has run", async () => (await reasonOf(job.id)) === undefined);
    expect(await queueOf("script")).toMatchObject({ paused: false, paused_by: null });
  });

  test("is the end of a drain", async () => {
    const [node] = ((await (await service.call("/api/v1/nodes")).json()) as { nodes: { id: string }[] }).nodes;
    const path = `/api/v1/nodes/${encodeURIComponent(node?.id ?? "")}`;
    expect((await (await service.post(`${path}/drain`, "")).json()) as object).toMatchObject({ state: "draining" });
    await until("the node knows", () => service.rooms.engine.view.maintenance);
    const job = await submit({ function: "hello" });
    expect((await reasonOf(job.id))?.reason).toBe("maintenance");
    expect((await (await service.post(`${path}/resume`, "")).json()) as object).toMatchObject({ state: "ready" });
    await until("it has run", async () => (await reasonOf(job.id)) === undefined);
  });

  test("is a node that has what it needs", async () => {
    const job = await submit({ containers: ["to-uppercase"], hold: true });
    const { sql } = service.rooms.database.db;
    await sql`UPDATE tasks SET target = 'gone' WHERE job_id = ${job.id}`;
    await sql`UPDATE jobs SET held = false WHERE id = ${job.id}`;
    expect((await reasonOf(job.id))?.reason).toBe("no node with container gone");
  });

  async function queueOf(name: string) {
    type Queue = { name: string; oldest_waiting_s: number | null; parked: number };
    const { queues } = (await (await service.call("/api/v1/queues")).json()) as { queues: Queue[] };
    const queue = queues.find((one) => one.name === name);
    if (queue === undefined) throw new Error(`there is no queue ${name}`);
    return queue;
  }
});

import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Socket } from "bun";
import { type Database, openDatabase } from "../../src/db/client.ts";
import type { Sender } from "../../src/webhooks/deliver.ts";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/until.ts";
import { readDelivery, senderOn, writeDelivery } from "./support/delivery-rows.ts";
import { type Connection, type RawReceiver, startRawReceiver, startReceiver } from "./support/receiver.ts";

let db: Database;
const senders: Sender[] = [];
const receivers: RawReceiver[] = [];

beforeAll(async () => {
  db = openDatabase((await testDatabase()).address);
});
afterEach(async () => {
  for (const sender of senders.splice(0)) await sender.stop();
  for (const receiver of receivers.splice(0)) receiver.close();
  await db.sql`DELETE FROM deliveries`;
});
afterAll(() => db.close());

type Expected = { state: string; status?: number | null; error?: RegExp; dueS?: [min: number, max: number] };
const again: Pick<Expected, "state" | "dueS"> = { state: "pending", dueS: [3.9, 5.6] };
const answers = (text: string) => (socket: Socket<Connection>) => void socket.end(text);

/** Receivers that misbehave, and what becomes of a delivery to each after one try. */
const misbehaving: [string, () => RawReceiver, Expected][] = [
  ["hangs before its headers", () => startRawReceiver(() => undefined), { ...again, error: /no whole answer/ }],
  [
    "hangs after its headers",
    () => startRawReceiver((socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")),
    { ...again, error: /no whole answer/ },
  ],
  ["drips a byte a second", () => startRawReceiver(drip), { ...again, error: /no whole answer/ }],
  ["answers 500", () => startReceiver(500), { ...again, status: 500 }],
  ["answers 404", () => startReceiver(404), { ...again, status: 404 }],
  [
    "answers 503 and says when",
    () => startReceiver(503, { "retry-after": "120" }),
    { state: "pending", status: 503, dueS: [115, 121] },
  ],
  ["answers 429", () => startReceiver(429), { ...again, status: 429 }],
  [
    "asks for ten days",
    () => startReceiver(429, { "retry-after": "864000" }),
    { state: "pending", status: 429, dueS: [3_590, 3_601] },
  ],
  ["answers 410", () => startReceiver(410), { state: "failed", status: 410 }],
  ...[301, 302, 307, 308].map((status): [string, () => RawReceiver, Expected] => [
    `redirects with ${status}`,
    () => startReceiver(status, { location: victim.url }),
    { ...again, status },
  ]),
  ["resets the connection", () => startRawReceiver((socket) => socket.terminate()), { ...again, error: /closed/ }],
  ["does not speak HTTP", () => startRawReceiver(answers("SSH-2.0-OpenSSH_9\r\n")), { ...again, error: /not HTTP/ }],
  ["sends a bomb", () => startRawReceiver(bomb), { state: "delivered", status: 200 }],
  ["sends headers without end", () => startRawReceiver(endlessHeaders), { ...again, status: null }],
];
const victim = startReceiver(200);
afterAll(() => victim.close());

test("receivers that misbehave are tried once each, and hold nobody up", async () => {
  const bad = misbehaving.map(([name, start, expected]) => ({ name, receiver: open(start()), expected }));
  const good = open(startReceiver(200));
  const ids: string[] = [];
  for (const { receiver } of bad) ids.push(await writeDelivery(db.sql, receiver.url, { ageS: 10 }));
  // Far more than there are places, to one host that hangs, and all of them before the good ones.
  for (let at = 0; at < 100; at++) await writeDelivery(db.sql, bad[0]?.receiver.url ?? "", { ageS: 9 });
  const goodIds = await Promise.all(Array.from({ length: 20 }, () => writeDelivery(db.sql, good.url)));
  const startedMs = performance.now();
  start();
  await until("the good ones are delivered", () => good.requests.length >= goodIds.length);
  expect(performance.now() - startedMs).toBeLessThan(1_000);
  for (const [at, { name, expected }] of bad.entries()) {
    const row = await until(`the one that ${name} was tried`, async () => {
      const found = await readDelivery(db.sql, ids[at] ?? "");
      return found.attempts.length > 0 ? found : null;
    });
    expect(row, name).toMatchObject({ state: expected.state, attempt: 1, is_claimed: false });
    const [made] = row.attempts;
    if (expected.status !== undefined) expect(made?.status, name).toBe(expected.status);
    if (expected.error !== undefined) expect(made?.error, name).toMatch(expected.error);
    const [min, max] = expected.dueS ?? [null, null];
    if (min === null) expect(row.due_s, name).toBeNull();
    else expect(row.due_s, name).toBeGreaterThan(min - 3);
    if (max !== null) expect(row.due_s, name).toBeLessThan(max);
    expect(made?.response?.length ?? 0, name).toBeLessThanOrEqual(1_000);
  }
  expect(victim.requests).toEqual([]);
  for (const id of goodIds) expect((await readDelivery(db.sql, id)).attempts).toHaveLength(1);
}, 20_000);

test("no more than four attempts at a time go to one host, and none waits with a claim", async () => {
  const slow = open(startRawReceiver(() => undefined));
  for (let at = 0; at < 40; at++) await writeDelivery(db.sql, slow.url);
  start({ timeoutMs: 3_000 });
  await until("four are under way", () => slow.connections === 4);
  await until("only those are claimed", async () => (await claimed()) === 4);
  expect(slow.connections).toBe(4);
});

test("spellings of one host share its places", async () => {
  const slow = open(startRawReceiver(() => undefined));
  const spellings = [
    `127.0.0.1:${slow.port}`,
    `127.1:${slow.port}`,
    `0x7f000001:${slow.port}`,
    `2130706433:${slow.port}`,
  ];
  for (const spelling of spellings)
    for (let at = 0; at < 8; at++) await writeDelivery(db.sql, `http://${spelling}/hook`);
  const good = open(startReceiver(200));
  const id = await writeDelivery(db.sql, good.url);
  start({ timeoutMs: 3_000 });
  await until("the good one is delivered", async () => (await readDelivery(db.sql, id)).state === "delivered");
  await until("only four are claimed", async () => (await claimed()) === 4);
  expect(slow.connections).toBe(4);
});

test("a lane is handed over in order, and goes on after one that failed for good", async () => {
  const seen: string[] = [];
  const receiver = open(
    startRawReceiver((socket) => {
      const id = /webhook-id: (\S+)/i.exec(socket.data.request)?.[1] ?? "";
      seen.push(id);
      const status = seen.length === 1 ? "500 No" : id === ids[1] ? "410 Gone" : "200 OK";
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
    }),
  );
  const ids: string[] = [];
  for (let at = 0; at < 4; at++) ids.push(await writeDelivery(db.sql, receiver.url, { lane: "job:1" }));
  start({ retries: { retriesMax: 3, delayMs: 50 } });
  await until("all of them are done", () => seen.length >= 5);
  expect(seen).toEqual([ids[0], ids[0], ids[1], ids[2], ids[3]] as string[]);
});

test("a fixed delay and a number of retries end in failure, with every try on record", async () => {
  const receiver = open(startReceiver(500, {}, "no\u0007"));
  const id = await writeDelivery(db.sql, receiver.url);
  start({ retries: { retriesMax: 2, delayMs: 20 } });
  const row = await until("it is given up", async () => {
    const found = await readDelivery(db.sql, id);
    return found.state === "failed" ? found : null;
  });
  expect(row.attempts.map(({ status, response }) => [status, response])).toEqual(Array(3).fill([500, "no\ufffd"]));
  expect(receiver.requests.map((request) => /webhook-id: (\S+)/i.exec(request)?.[1])).toEqual([id, id, id]);
  expect(row.due_s).toBeNull();
});

test("a stop gives back what was under way: the try does not count", async () => {
  const slow = open(startRawReceiver(() => undefined));
  const id = await writeDelivery(db.sql, slow.url);
  const sender = start({ timeoutMs: 30_000 });
  await until("it is under way", () => slow.requests.length === 1);
  await sender.stop();
  expect(await readDelivery(db.sql, id)).toMatchObject({
    state: "pending",
    attempt: 0,
    attempts: [],
    is_claimed: false,
  });
});

test("an attempt that outlasts its claim keeps it: no other sender takes the delivery meanwhile", async () => {
  const answer = Promise.withResolvers<void>();
  let hits = 0;
  const slow = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async () => {
      hits++;
      await answer.promise;
      return new Response("ok");
    },
  });
  const id = await writeDelivery(db.sql, slow.url.href);
  // Six seconds of claim for an attempt that may take a minute.
  const patient = { timeoutMs: 60_000, claimMarginS: -54 };
  for (const sender of [senderOn(db.sql, patient), senderOn(db.sql, patient)]) senders.push(sender);
  for (const sender of senders) sender.wake();
  const seen = new Set<string>();
  await until(
    "its claim was renewed several times",
    async () => {
      const [row] = await db.sql<{ until: string | null }[]>`
      SELECT claimed_until::text AS until FROM deliveries WHERE id = ${id} AND claimed_until > now()`;
      if (row?.until != null) seen.add(row.until);
      for (const sender of senders) sender.wake();
      return seen.size > 4;
    },
    { withinMs: 60_000 },
  );
  answer.resolve();
  await until("it is delivered", async () => (await readDelivery(db.sql, id)).state === "delivered");
  expect(await readDelivery(db.sql, id)).toMatchObject({ attempt: 1, is_claimed: false });
  expect(hits).toBe(1);
  await slow.stop(true);
}, 90_000);

test("being woken all the time does not keep it from looking", async () => {
  const good = open(startReceiver(200));
  const id = await writeDelivery(db.sql, good.url);
  const sender = start();
  const timer = setInterval(() => sender.wake(), 1);
  await until("it is delivered", async () => (await readDelivery(db.sql, id)).state === "delivered", {
    withinMs: 3_000,
  });
  clearInterval(timer);
});

test("what waits for another of its lane does not keep the database busy", async () => {
  const receiver = open(startReceiver(500));
  await writeDelivery(db.sql, receiver.url, { lane: "job:2" });
  for (let at = 0; at < 5; at++) await writeDelivery(db.sql, receiver.url, { lane: "job:2" });
  const looks: number[] = [];
  const counted = new Proxy(db.sql, {
    get: (sql, name) =>
      name === "unsafe"
        ? (...given: Parameters<typeof sql.unsafe>) => {
            looks.push(performance.now());
            return sql.unsafe(...given);
          }
        : Reflect.get(sql, name),
  });
  start({ sql: counted });
  await until("the first was tried", () => receiver.requests.length === 1);
  const before = looks.length;
  // Long enough for a hundred looks, were it to look whenever it could.
  await Bun.sleep(500);
  expect(looks.length - before).toBeLessThan(10);
});

test("headers sealed with a key that is not here fail the try, and say so", async () => {
  const id = await writeDelivery(db.sql, "http://127.0.0.1:9/hook", { sealed: "0000000000000000.AAAA" });
  start();
  const row = await until("it was tried", async () => {
    const found = await readDelivery(db.sql, id);
    return found.attempts.length > 0 ? found : null;
  });
  expect(row.attempts[0]?.error).toContain("sealed with a key that this node does not have");
});

test("of the tries of a delivery the newest hundred are kept", async () => {
  const receiver = open(startReceiver(200));
  const id = await writeDelivery(db.sql, receiver.url);
  const old = Array.from({ length: 100 }, (_, at) => ({
    at: `old ${at}`,
    status: 500,
    duration_ms: 1,
    response: "",
    error: null,
  }));
  await db.sql`UPDATE deliveries SET attempts = ${JSON.stringify(old)}::text::json WHERE id = ${id}`;
  start();
  const row = await until("it is delivered", async () => {
    const found = await readDelivery(db.sql, id);
    return found.state === "delivered" ? found : null;
  });
  expect(row.attempts).toHaveLength(100);
  expect(row.attempts[0]?.at).toBe("old 1");
  expect(row.attempts.at(-1)?.status).toBe(200);
});

function start(more: Parameters<typeof senderOn>[1] = {}): Sender {
  const sender = senderOn(db.sql, more);
  senders.push(sender);
  sender.wake();
  return sender;
}

function open(receiver: RawReceiver): RawReceiver {
  receivers.push(receiver);
  return receiver;
}

async function claimed(): Promise<number> {
  const [row] = await db.sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM deliveries WHERE state = 'pending' AND claimed_until > now()`;
  return row?.count ?? 0;
}

function drip(socket: Socket<Connection>): void {
  socket.write("HTTP/1.1 200 OK\r\nX-A: ");
  const timer = setInterval(() => {
    if (socket.write("x") < 0 || socket.readyState <= 0) clearInterval(timer);
  }, 100);
}

function bomb(socket: Socket<Connection>): void {
  const packed = Bun.gzipSync(new Uint8Array(20_000_000));
  socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n\r\n`);
  socket.end(packed);
}

function endlessHeaders(socket: Socket<Connection>): void {
  socket.write("HTTP/1.1 200 OK\r\n");
  const timer = setInterval(() => {
    if (socket.write(`X-A: ${"y".repeat(1_000)}\r\n`.repeat(64)) < 0 || socket.readyState <= 0) clearInterval(timer);
  }, 1);
}

import { afterAll, expect, test } from "bun:test";
import type { Socket } from "bun";
import { parseNetworks } from "../../src/webhooks/networks.ts";
import { post, type PostOutcome } from "../../src/webhooks/post.ts";
import { nextAttempt } from "../../src/webhooks/schedule.ts";
import { type Connection, type RawReceiver, startRawReceiver, startReceiver } from "./support/receiver.ts";

const allow = parseNetworks(["127.0.0.1"]);
const timeoutMs = 600;
/** What a receiver may have written before we are gone: what we read, and what the sockets of both sides hold. */
const takenBytesMax = 16 * 1_024 * 1_024;

type Flood = { written: number };
const flood: Flood = { written: 0 };
const answering = (text: string) => (socket: Socket<Connection>) => void socket.end(text);

const receivers: [string, () => RawReceiver, Partial<PostOutcome>, string][] = [
  [
    "hangs before its headers",
    () => startRawReceiver(() => undefined),
    { kind: "failed", reason: `no whole answer within ${timeoutMs} ms` },
    "retry",
  ],
  [
    "hangs after its headers",
    () => startRawReceiver((socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")),
    { kind: "failed", reason: `no whole answer within ${timeoutMs} ms` },
    "retry",
  ],
  [
    "drips its headers",
    () => startRawReceiver((socket) => drip(socket, "HTTP/1.1 200 OK\r\nX-A: ")),
    { kind: "failed", reason: `no whole answer within ${timeoutMs} ms` },
    "retry",
  ],
  [
    "drips its body",
    () => startRawReceiver((socket) => drip(socket, "HTTP/1.1 200 OK\r\n\r\n")),
    { kind: "failed", reason: `no whole answer within ${timeoutMs} ms` },
    "retry",
  ],
  ["answers 500", () => startReceiver(500), { kind: "answered", status: 500 }, "retry"],
  [
    "answers 503 with Retry-After",
    () => startReceiver(503, { "retry-after": "7" }),
    { kind: "answered", status: 503, retryAfterS: 7 },
    "retry",
  ],
  ["answers 429", () => startReceiver(429), { kind: "answered", status: 429 }, "retry"],
  ["answers 410", () => startReceiver(410), { kind: "answered", status: 410 }, "gone"],
  [
    "resets the connection at once",
    () => startRawReceiver((socket) => socket.terminate()),
    { kind: "failed" },
    "retry",
  ],
  [
    "breaks off in its body",
    () => startRawReceiver((socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")),
    { kind: "failed" },
    "retry",
  ],
  ["closes without an answer", () => startRawReceiver((socket) => void socket.end()), { kind: "failed" }, "retry"],
  [
    "does not speak HTTP",
    () => startRawReceiver(answering("SSH-2.0-OpenSSH_9\r\n")),
    { kind: "failed", reason: "the answer is not HTTP" },
    "retry",
  ],
  [
    "switches protocols",
    () => startRawReceiver(answering("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")),
    { kind: "failed", reason: "the answer is not HTTP" },
    "retry",
  ],
  [
    "answers with an impossible status",
    () => startRawReceiver(answering("HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n")),
    { kind: "failed", reason: "the answer is not HTTP" },
    "retry",
  ],
  [
    "sends endless headers",
    () => startRawReceiver((socket) => pour(socket, "HTTP/1.1 200 OK\r\n", `X-A: ${"y".repeat(1_000)}\r\n`)),
    { kind: "failed" },
    "retry",
  ],
  [
    "says 100 Continue for ever",
    () => startRawReceiver((socket) => pour(socket, "", "HTTP/1.1 100 Continue\r\n\r\n")),
    { kind: "failed" },
    "retry",
  ],
  [
    "sends an endless body",
    () => startRawReceiver((socket) => pour(socket, "HTTP/1.1 200 OK\r\n\r\n", "z".repeat(1_000))),
    { kind: "answered", status: 200, responseText: "z".repeat(1_024) },
    "delivered",
  ],
  [
    "sends an endless body in chunks",
    () =>
      startRawReceiver((socket) =>
        pour(socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", `3e8\r\n${"z".repeat(1_000)}\r\n`),
      ),
    { kind: "answered", status: 200 },
    "delivered",
  ],
  [
    "announces an answer of 1 TB",
    () =>
      startRawReceiver((socket) =>
        pour(socket, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", "z".repeat(1_000)),
      ),
    { kind: "answered", status: 200 },
    "delivered",
  ],
];

test.each(receivers)("a receiver that %s", async (_, start, expected, verdict) => {
  flood.written = 0;
  const receiver = start();
  const startedMs = performance.now();
  const outcome = await post({ url: receiver.url, headers: {}, body: "{}", timeoutMs, allow });
  expect(performance.now() - startedMs).toBeLessThan(timeoutMs + 1_000);
  expect(outcome).toMatchObject(expected);
  expect(flood.written).toBeLessThan(takenBytesMax);
  expect(receiver.connections).toBe(1);
  if (outcome.kind === "interrupted") throw new Error("nobody interrupted it");
  expect(nextAttempt({ attempt: 1, outcome, settings: { retriesMax: null, delayMs: null }, random: 0.5 }).kind).toBe(
    verdict as "retry",
  );
  receiver.close();
});

test("a receiver that does not listen", async () => {
  const receiver = startReceiver(200);
  receiver.close();
  const outcome = await post({ url: receiver.url, headers: {}, body: "{}", timeoutMs, allow });
  expect(outcome).toMatchObject({ kind: "failed", reason: "connection refused" });
});

test("fifty receivers that hang do not delay one that answers", async () => {
  const hanging = startRawReceiver(() => undefined);
  const good = startReceiver(200);
  afterAll(() => hanging.close());
  const calls = Array.from({ length: 50 }, () =>
    post({ url: hanging.url, headers: {}, body: "{}", timeoutMs: 1_500, allow }),
  );
  const outcome = await post({ url: good.url, headers: {}, body: "{}", timeoutMs: 1_400, allow });
  expect(outcome).toMatchObject({ kind: "answered", status: 200 });
  if (outcome.kind === "answered") expect(outcome.durationMs).toBeLessThan(1_000);
  expect((await Promise.all(calls)).every((each) => each.kind === "failed")).toBe(true);
  good.close();
});

function drip(socket: Socket<Connection>, head: string): void {
  socket.write(head);
  const timer = setInterval(() => {
    if (socket.write("x") < 0 || socket.readyState <= 0) clearInterval(timer);
  }, 50);
}

/** Writes as fast as the other side takes it, until it goes away. */
function pour(socket: Socket<Connection>, head: string, piece: string): void {
  socket.write(head);
  const block = piece.repeat(64);
  const timer = setInterval(() => {
    const taken = socket.write(block);
    if (taken < 0 || socket.readyState <= 0) clearInterval(timer);
    else flood.written += taken;
  }, 1);
}

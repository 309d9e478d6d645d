import { expect, test } from "bun:test";
import { openRoom } from "./room.ts";

const slowSockets = 100;
/** 12 s for a header in all, then as long as the listener's clock of 4 s and a busy machine need. */
const closedWithinMs = 20_000;

/** H3, at the size of a test run: what each kind of slow caller sends first, and then every second. */
const kinds = [
  { first: "", drip: "" },
  { first: "GET /demo/open HTTP/1.1\r\nHost: a\r\n", drip: "" },
  { first: "GET /demo/open HTTP/1.1\r\n", drip: "X" },
  { first: "POST /demo/json HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", drip: "" },
  { first: "POST /demo/json HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n[", drip: " " },
];

test(
  "slow connections are closed and keep nobody else waiting",
  async () => {
    await using room = await openRoom({ idleTimeoutS: 10 });
    const startedMs = performance.now();
    const slow = await Promise.all(
      Array.from({ length: slowSockets }, (_, at) => openSlow(room.port, at % kinds.length)),
    );
    const allClosed = Promise.all(slow.map(({ closed }) => closed)).then(() => performance.now() - startedMs);

    const times: number[] = [];
    for (let count = 0; count < 50; count++) {
      const askedMs = performance.now();
      expect((await fetch(`${room.url}/demo/open`)).status).toBe(200);
      times.push(performance.now() - askedMs);
      await Bun.sleep(20);
    }
    expect(times.sort((one, other) => one - other)[Math.floor(times.length / 2)]).toBeLessThan(50);
    expect(await Promise.race([allClosed, Bun.sleep(closedWithinMs).then(() => "still open")])).toBeLessThan(
      closedWithinMs,
    );
  },
  closedWithinMs + 10_000,
);

async function openSlow(port: number, kind: number): Promise<{ closed: Promise<void> }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { first, drip } = kinds[kind] ?? { first: "", drip: "" };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data: () => undefined, close: () => resolve(), error: () => resolve() },
  });
  socket.write(first);
  const timer = setInterval(() => socket.write(drip), 1_000);
  return { closed: promise.finally(() => clearInterval(timer)) };
}

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { sseText } from "../../src/http/event-encoder.ts";
import type { EventFeed } from "../../src/http/event-stream.ts";
import { countingEncoder, EndlessFeed, PushFeed, type TestEvent } from "./feeds.ts";
import { openRoom, type Room, wordySurface } from "./room.ts";

const heartbeatMs = 400;
const mib = 1_048_576;
const { counted, encoder } = countingEncoder();

/** The feeds that a request for `/streams/<name>` gets, one after the other. */
const feeds = new Map<string, () => EventFeed<TestEvent>>();
let room: Room;

beforeAll(async () => {
  room = await openStreams();
});
afterAll(() => room[Symbol.asyncDispose]());

function openStreams(): Promise<Room> {
  return openRoom({
    heartbeatMs,
    idleTimeoutS: 10,
    surfaces: ({ gate, streams }) => [
      wordySurface("streams", gate, (app) =>
        app.get(
          "/streams/:name",
          ({ params, request }) => {
            const feed = feeds.get(params.name)?.();
            if (feed === undefined) return new Response("no such feed", { status: 404 });
            const format = request.headers.get("accept") === "application/x-ndjson" ? "ndjson" : "sse";
            return streams.respond({ request, feed, encoder, format });
          },
          { auth: "open" },
        ),
      ),
    ],
  });
}

function offer<F extends EventFeed<TestEvent>>(name: string, feed: F): F {
  feeds.set(name, () => feed);
  return feed;
}

const event = (seq: number, data = `{"seq":${seq}}`): TestEvent => ({ seq, data });

async function until(what: string, isSo: () => boolean, maxMs = 8_000): Promise<void> {
  for (const startedMs = performance.now(); !isSo(); await Bun.sleep(10)) {
    if (performance.now() - startedMs > maxMs) throw new Error(`waited ${maxMs} ms for: ${what}`);
  }
}

/** A reader that asks and then takes nothing until `resume`. */
function openStill(port: number, name: string): Promise<Socket> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const socket = connect(port, "127.0.0.1", () => {
    socket.pause();
    socket.write(`GET /streams/${name} HTTP/1.1\r\nHost: a\r\n\r\n`);
    resolve(socket);
  });
  socket.on("error", () => socket.destroy());
  return promise;
}

describe("a stream", () => {
  test("tells events as server-sent events", async () => {
    const feed = offer("sse", new PushFeed());
    feed.push(event(1), event(2, "one\ntwo"));
    feed.end();
    const response = await fetch(`${room.url}/streams/sse`);
    expect(await response.text()).toBe(
      'retry: 1000\n\nid: 1\nevent: output\ndata: {"seq":1}\n\nid: 2\nevent: output\ndata: one\ndata: two\n\n',
    );
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    expect(feed.isClosed).toBe(true);
  });

  test("tells events as lines of JSON", async () => {
    const feed = offer("ndjson", new PushFeed());
    feed.push(event(1), event(2));
    feed.end();
    const response = await fetch(`${room.url}/streams/ndjson`, { headers: { accept: "application/x-ndjson" } });
    expect(await response.text()).toBe('{"seq":1}\n{"seq":2}\n');
    expect(response.headers.get("content-type")).toBe("application/x-ndjson; charset=utf-8");
  });

  test("keeps ids and names on their line", () => {
    const told = sseText({ id: "1\ndata: forged", event: "a\r\n\r\nb", data: "x\r\ny\rz" });
    expect(told).toBe("id: 1 data: forged\nevent: a b\ndata: x\ndata: y\ndata: z\n\n");
  });

  test("passes an event on at once", async () => {
    const feed = offer("live", new PushFeed());
    const reader = (await fetch(`${room.url}/streams/live`)).body?.getReader();
    await reader?.read();
    const times: number[] = [];
    for (let seq = 1; seq <= 20; seq++) {
      const pushedMs = performance.now();
      feed.push(event(seq));
      await reader?.read();
      times.push(performance.now() - pushedMs);
    }
    await reader?.cancel();
    expect(times.sort((one, other) => one - other)[10]).toBeLessThan(50);
  });

  test("that has nothing to say beats, and outlives the idle timeout", async () => {
    const feed = offer("silent", new PushFeed());
    const startedMs = performance.now();
    const reader = (await fetch(`${room.url}/streams/silent`)).body?.getReader();
    const decoder = new TextDecoder();
    let told = "";
    while (performance.now() - startedMs < 13_000) told += decoder.decode((await reader?.read())?.value);
    feed.push(event(1));
    feed.end();
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read())
      told += decoder.decode(part.value);
    expect(told).toMatch(/^retry: 1000\n\n(?::\n\n){15,}id: 1\n/);
  }, 20_000);

  test("that fails is broken off, logged once, and says nothing of why", async () => {
    const feed = offer("failing", new PushFeed());
    const response = await fetch(`${room.url}/streams/failing`);
    feed.push(event(1));
    feed.fail(new Error("hunter2"));
    await expect(response.text()).rejects.toThrow();
    const failures = room.lines.filter((line) => line.includes("hunter2"));
    expect(failures.map((line) => JSON.parse(line).event)).toEqual(["stream_failed"]);
  }, 15_000);
});

describe("a reader", () => {
  test("that leaves closes its feed at once", async () => {
    const feed = offer("left", new PushFeed());
    const leaving = new AbortController();
    const response = await fetch(`${room.url}/streams/left`, { signal: leaving.signal });
    await response.body?.getReader().read();
    leaving.abort();
    await until("the feed to be closed", () => feed.isClosed);
  });

  test("that has left before its stream is made leaves nothing open", () => {
    const before = room.streams.open;
    const feed = new PushFeed();
    const request = new Request("http://a/", { signal: AbortSignal.abort() });
    room.streams.respond({ request, feed, encoder, format: "sse" });
    expect(feed.isClosed).toBe(true);
    expect(room.streams.open).toBe(before);
  });

  test("that resets its connection closes its feed at once", async () => {
    const feed = offer("reset", new PushFeed());
    const socket = await openStill(room.port, "reset");
    await until("the stream to be open", () => room.streams.open > 0);
    socket.resetAndDestroy();
    await until("the feed to be closed", () => feed.isClosed);
  });

  test("that closes its half and then goes closes its feed", async () => {
    const feed = offer("half", new PushFeed());
    const socket = await openStill(room.port, "half");
    await until("the stream to be open", () => room.streams.open > 0);
    socket.end();
    feed.push(event(1));
    socket.resume();
    await Bun.sleep(50);
    socket.destroy();
    await until("the feed to be closed", () => feed.isClosed);
  });

  test("that takes nothing holds no memory and is cut off", async () => {
    await using other = await openStreams();
    const still = 50;
    const opened: EndlessFeed[] = [];
    const batch = Array.from({ length: 16 }, (_, at) => event(at, "x".repeat(65_536)));
    feeds.set("endless", () => opened[opened.push(new EndlessFeed(batch)) - 1] ?? new EndlessFeed([]));
    Bun.gc(true);
    const before = process.memoryUsage().rss;
    const sockets = await Promise.all(Array.from({ length: still }, () => openStill(other.port, "endless")));
    await until("all streams to be open", () => opened.length === still);
    await until("all feeds to be closed", () => opened.every(({ isClosed }) => isClosed));
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * mib);
    expect(other.streams.open).toBe(0);
    // The kernel takes up to 4 MiB for each connection; a feed hands out 1 MiB at a time.
    expect(Math.max(...opened.map(({ calls }) => calls))).toBeLessThan(9);
    for (const socket of sockets) socket.destroy();
  }, 15_000);

  test("that takes a byte a second gets no more than its connection holds", async () => {
    const feed = offer("drip", new EndlessFeed([event(1, "x".repeat(65_536))]));
    const socket = await openStill(room.port, "drip");
    const sips = setInterval(() => socket.read(1), 1_000);
    await until("the feed to be closed", () => feed.isClosed);
    clearInterval(sips);
    socket.destroy();
    expect(feed.calls * 65_536).toBeLessThan(9 * mib);
  }, 15_000);

  test("among 200 gets every event in order, and all share its bytes", async () => {
    const readers = 200;
    const events = 100;
    const opened: PushFeed[] = [];
    feeds.set("shared", () => opened[opened.push(new PushFeed()) - 1] ?? new PushFeed());
    const encodedBefore = counted.encodings;
    const told = Promise.all(
      Array.from({ length: readers }, async () => (await fetch(`${room.url}/streams/shared`)).text()),
    );
    await until("all streams to be open", () => opened.length === readers);
    for (let seq = 1; seq <= events; seq++) {
      const one = event(seq);
      for (const feed of opened) feed.push(one);
      if (seq % 10 === 0) await Bun.sleep(5);
    }
    for (const feed of opened) feed.end();
    const ids = (await told).map((text) => [...text.matchAll(/^id: (\d+)$/gm)].map((found) => Number(found[1])));
    const all = Array.from({ length: events }, (_, at) => at + 1);
    expect(ids.every((seen) => seen.length === events && seen.every((id, at) => id === all[at]))).toBe(true);
    expect(counted.encodings - encodedBefore).toBe(events);
  }, 20_000);

  test("that comes and goes 300 times leaves nothing behind", async () => {
    const opened: PushFeed[] = [];
    feeds.set("storm", () => opened[opened.push(new PushFeed()) - 1] ?? new PushFeed());
    for (let round = 0; round < 10; round++) {
      const sockets = await Promise.all(Array.from({ length: 30 }, () => openStill(room.port, "storm")));
      await until("the streams to be open", () => opened.length === (round + 1) * 30);
      for (const [at, socket] of sockets.entries()) at % 2 === 0 ? socket.destroy() : socket.resetAndDestroy();
    }
    await until("all feeds to be closed", () => opened.every(({ isClosed }) => isClosed));
    await until("no stream to be open", () => room.streams.open === 0);
  }, 15_000);
});

describe("a service that stops", () => {
  test("tells its readers to come back, and does not wait for those that take nothing", async () => {
    const other = await openStreams();
    const opened: EventFeed<TestEvent>[] = [];
    const idle = offer("idle", new PushFeed());
    feeds.set("busy", () => opened[opened.push(new EndlessFeed([event(1, "x".repeat(65_536))])) - 1] ?? idle);
    const reading = fetch(`${other.url}/streams/idle`).then((response) => response.text());
    const still = await openStill(other.port, "busy");
    await until("both streams to be open", () => other.streams.open === 2);
    const startedMs = performance.now();
    const { brokenOff } = await other.server.stop(2_000);
    expect(performance.now() - startedMs).toBeLessThan(4_000);
    expect(brokenOff).toBeLessThanOrEqual(1);
    expect(await reading).toBe("retry: 1000\n\n: the service is stopping\n\n");
    expect(idle.isClosed).toBe(true);
    expect(other.streams.open).toBe(0);
    still.destroy();
  }, 10_000);

  test("tells those that come late the same", async () => {
    const feed = new PushFeed();
    room.streams.end();
    offer("late", feed);
    expect(await (await fetch(`${room.url}/streams/late`)).text()).toBe("retry: 1000\n\n: the service is stopping\n\n");
    expect(feed.isClosed).toBe(true);
  });
});

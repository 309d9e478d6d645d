import { describe, expect, test } from "bun:test";
import { ApiError, type Client, ConnectionError, createClient, type EventOptions } from "../../src/client.ts";
import { answer, answering, events, streaming } from "./stream-server.ts";

const retry = "retry: 5\n\n";

/** Numbers of the events that a reader gets. */
async function numbers(client: Client, options: EventOptions = {}): Promise<number[]> {
  const seen: number[] = [];
  for await (const { seq } of client.events("job", options)) seen.push(seq);
  return seen;
}

/** What a service was told to go on from, by connection. */
function starts(asked: { headers: Record<string, unknown> }[]): unknown[] {
  return asked.map(({ headers }) => headers["last-event-id"]);
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, at) => at + 1);
}

describe("events", () => {
  test("end with the stream, and the service is asked once", async () => {
    const { url, asked } = await answering(streaming([retry, events(1, 5, { 5: "completed" })]));
    expect(await numbers(createClient({ url }))).toEqual(upTo(5));
    expect(asked.map(({ path }) => path)).toEqual(["/api/v1/jobs/job/events"]);
    expect(asked[0]?.headers.accept).toBe("text/event-stream");
  });

  test("are read whole however the bytes are cut", async () => {
    const text = `${retry}: beat\n\n${events(1, 4, { 4: "completed" })}`.replaceAll("\n", "\r\n");
    for (const size of [1, 2, 3, 7, 64]) {
      const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
      expect(await numbers(createClient(await answering(streaming(pieces))))).toEqual(upTo(4));
    }
  });

  test("go on behind the last one when the stream breaks off, and repeats are left out", async () => {
    const { url, asked } = await answering(
      streaming([retry, events(1, 3), events(4, 4).slice(0, -9)], { isCut: true, afterMs: 250 }),
      streaming([retry, events(2, 6)]),
      streaming([retry, events(7, 8, { 8: "completed" })]),
    );
    expect(await numbers(createClient({ url }))).toEqual(upTo(8));
    expect(starts(asked)).toEqual([undefined, "3", "6"]);
  });

  test("go on behind the end of an earlier turn", async () => {
    const { url } = await answering(streaming([retry, events(1, 6, { 3: "completed", 6: "completed" })]));
    expect(await numbers(createClient({ url }))).toEqual(upTo(6));
  });

  test("ask again when the service stops right behind an end, since it may be that of an earlier turn", async () => {
    const { url, asked } = await answering(
      streaming([retry, events(1, 3, { 3: "completed" }), ": the service is stopping\n\n"]),
      streaming([retry, events(4, 5, { 5: "completed" })]),
    );
    expect(await numbers(createClient({ url }))).toEqual(upTo(5));
    expect(starts(asked)).toEqual([undefined, "3"]);
  });

  test("end at once when there is nothing behind the number", async () => {
    const { url, asked } = await answering(answer(204));
    expect(await numbers(createClient({ url }), { after: 7 })).toEqual([]);
    expect(starts(asked)).toEqual(["7"]);
  });

  test("outlast refusals that pass, and tell of each try", async () => {
    const busy = answer(503, { detail: "Draining", code: "draining" });
    const { url } = await answering(
      streaming([retry, events(1, 1)]),
      busy,
      busy,
      streaming([events(2, 2, { 2: "completed" })]),
    );
    const reasons: string[] = [];
    const onReconnect = (reason: Error) => reasons.push(reason.message);
    expect(await numbers(createClient({ url }), { onReconnect })).toEqual([1, 2]);
    expect(reasons).toEqual(["The stream broke off", "Draining", "Draining"]);
  });

  test("end with a refusal that does not pass", async () => {
    const body = {
      detail: "There is no job",
      code: "not_found",
      errors: [{ pointer: "/a", detail: "b" }],
      request_id: "r",
    };
    const { url, asked } = await answering(answer(404, body));
    const fault = await numbers(createClient({ url })).catch((thrown: unknown) => thrown);
    expect(fault).toBeInstanceOf(ApiError);
    expect(fault).toMatchObject({
      ...{ message: "There is no job", status: 404, code: "not_found", requestId: "r", retryAfterSeconds: null },
      problems: [{ pointer: "/a", detail: "b" }],
    });
    expect(asked).toHaveLength(1);
  });

  test("give up when nobody has answered for too long", async () => {
    const { url } = await answering(streaming(["retry: 1\n\n", events(1, 1)], { isCut: true }), answer(500));
    const fault = await numbers(createClient({ url }), { patienceMs: 50 }).catch((thrown: unknown) => thrown);
    expect(fault).toBeInstanceOf(Error);
    expect(fault).toMatchObject({ status: 500 });
    const nobody = numbers(createClient({ url: "http://127.0.0.1:9" }), { patienceMs: 0 });
    expect(await nobody.catch((thrown: unknown) => thrown)).toBeInstanceOf(ConnectionError);
  });

  test("throw the reason of their signal, while they read and while they wait", async () => {
    const reason = new Error("enough");
    const reading = new AbortController();
    const open = await answering(streaming([retry, events(1, 2), ...Array.from({ length: 5_000 }, () => ":\n\n")]));
    for await (const { seq } of readUntil(createClient(open), reading.signal)) if (seq === 2) reading.abort(reason);
    const waiting = new AbortController();
    const onReconnect = () => waiting.abort(reason);
    const ended = numbers(createClient(await answering(streaming([], { isCut: true }))), {
      signal: waiting.signal,
      onReconnect,
    });
    expect(await ended.catch((thrown: unknown) => thrown)).toBe(reason);

    async function* readUntil(client: Client, signal: AbortSignal) {
      try {
        yield* client.events("job", { signal });
        throw new Error("the stream ended by itself");
      } catch (fault) {
        expect(fault).toBe(reason);
      }
    }
  });

  test("free the connection of a reader that stops early", async () => {
    const left = Promise.withResolvers<string>();
    const { url } = await answering((response) => {
      response.on("close", () => left.resolve("left"));
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(events(1, 1));
    });
    for await (const { seq } of createClient({ url }).events("job")) if (seq === 1) break;
    expect(await left.promise).toBe("left");
  });
});

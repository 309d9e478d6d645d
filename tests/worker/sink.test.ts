import { describe, expect, test } from "bun:test";
import type { Claimed } from "../../src/engine/claimed.ts";
import type { Appender } from "../../src/engine/events.ts";
import type { TimedEvent } from "../../src/engine/history.ts";
import { createSink } from "../../src/worker/sink.ts";
import { until } from "../support/until.ts";

const task = { jobId: "j", index: 2, runId: "r" } as Claimed;

describe("what a run reports", () => {
  test("in its first moments goes out with its end", async () => {
    const { sink, written } = recorded();
    sink.log("info", "one");
    sink.progress(0.5, "half");
    await sink.output("stdout", "two");
    expect(textsOf(await sink.rest())).toEqual(["one", "half", "two"]);
    expect(written).toEqual([]);
    expect(await sink.rest()).toEqual([]);
  });

  test("later goes out while it runs, in groups, each line with its time and task", async () => {
    const { sink, written, open, close } = recorded();
    close();
    sink.log("info", "first");
    await until("it is on its way", () => written.length === 1);
    for (let n = 0; n < 100; n++) sink.log("warn", `${n}`);
    open();
    expect(textsOf(await sink.rest())).toEqual([]);
    expect(written.map((group) => group.length)).toEqual([1, 100]);
    expect(written[1]?.[0]).toMatchObject({ kind: "log", task: 2, data: '{"level":"warn","text":"0"}' });
    expect(written[1]?.[0]?.at).toMatch(/^\d{4}-.*Z$/);
  });

  test("as output of one stream in small pieces is joined, cheaply", async () => {
    const { sink, written } = recorded();
    const since = performance.now();
    for (let n = 0; n < 200_000; n++) void sink.output("stdout", "x");
    void sink.output("stderr", "other");
    void sink.output("stdout", "last");
    const events = [...(await sink.rest())];
    events.unshift(...written.flat());
    expect(performance.now() - since).toBeLessThan(1_500);
    expect(events.length).toBeLessThan(100);
    expect(textsOf(events).join("")).toBe(`${"x".repeat(200_000)}otherlast`);
  });

  test("as long output is split, never within a character", async () => {
    const { sink } = recorded();
    const text = `${"x".repeat(16_383)}${"\u{1f600}".repeat(20_000)}`;
    void sink.output("stream", text);
    const texts = textsOf(await sink.rest());
    expect(texts.join("")).toBe(text);
    expect(texts.every((part) => part.length <= 16_384 && part.isWellFormed())).toBe(true);
  });

  test("too fast asks the run to wait until it is written", async () => {
    const { sink, written, open, close } = recorded();
    close();
    const waits = Array.from({ length: 50 }, () => sink.output("stdout", "x".repeat(16_000))).at(-1);
    expect(waits).toBeInstanceOf(Promise);
    open();
    await waits;
    expect(written.length).toBeGreaterThan(0);
  });

  test("is shortened, and cleaned of what garbles a terminal", async () => {
    const { sink } = recorded();
    sink.log("error", `a\u001b[31m\u0000b\tc\n${"y".repeat(20_000)}`);
    sink.progress(7, `z\u0007${"z".repeat(1_000)}`);
    sink.progress(Number.NaN);
    const [log, progress, ...more] = await sink.rest();
    expect(JSON.parse(log?.data ?? "").text).toStartWith("a\ufffd[31m\ufffdb\tc\nyyy");
    expect(JSON.parse(log?.data ?? "").text.length).toBeLessThanOrEqual(8_192);
    expect(JSON.parse(progress?.data ?? "").fraction).toBe(1);
    expect(JSON.parse(progress?.data ?? "").text.length).toBe(500);
    expect(more).toEqual([]);
  });
});

describe("a sink", () => {
  test("whose database is away offers the same events until they are taken, and the rest after them", async () => {
    let isAway = true;
    const calls: { texts: string[]; isRepeat: boolean }[] = [];
    const { sink, faults } = recorded(async (events, isRepeat) => {
      calls.push({ texts: textsOf(events), isRepeat });
      if (isAway) throw Object.assign(new Error("away"), { code: "CONNECTION_CLOSED" });
      return true;
    });
    sink.log("info", "one");
    await until("it was offered twice", () => calls.length === 2);
    sink.log("info", "two");
    isAway = false;
    await until("all is taken", () => calls.at(-1)?.texts[0] === "two");
    expect(calls.slice(0, 2)).toEqual([
      { texts: ["one"], isRepeat: false },
      { texts: ["one"], isRepeat: true },
    ]);
    expect(faults).toEqual([]);
  });

  test("keeps a bounded amount while nobody takes it, and says what it dropped", async () => {
    const flooded = recorded();
    for (let n = 0; n < 3_000; n++) flooded.sink.log("info", "x".repeat(8_000));
    const events = [...(await flooded.sink.rest()), ...flooded.written.flat()];
    const chars = events.reduce((sum, event) => sum + event.data.length, 0);
    expect(chars).toBeLessThan(10 * 1_048_576);
    expect(textsOf(events).some((text) => /^\d+ lines could not be kept/.test(text))).toBe(true);
  });

  test("of a run that lost its task says so once and takes nothing more", async () => {
    let asked = 0;
    const { sink, fenced } = recorded(async () => {
      asked++;
      return false;
    });
    sink.log("info", "one");
    await until("it is told", () => fenced() === 1);
    sink.log("info", "two");
    expect(await sink.rest()).toEqual([]);
    expect([asked, fenced()]).toEqual([1, 1]);
  });

  test("drops what cannot be written, tells, and goes on", async () => {
    let isPoison = true;
    const { sink, faults, written } = recorded(async () => {
      if (isPoison) throw Object.assign(new Error("bad"), { code: "22P02" });
      return true;
    });
    sink.log("info", "poison");
    await until("it is told", () => faults.length === 1);
    isPoison = false;
    sink.log("info", "fine");
    await until("it is written", () => written.some((group) => textsOf(group)[0] === "fine"));
  });
});

type Answer = (events: TimedEvent[], isRepeat: boolean) => Promise<boolean>;

/** A sink over an appender that keeps what it is given, behind a gate. */
function recorded(answer: Answer = async () => true) {
  const written: TimedEvent[][] = [];
  const faults: unknown[] = [];
  let fenced = 0;
  let gate = Promise.withResolvers<void>();
  gate.resolve();
  const appender: Appender = {
    async append(_task, events, options) {
      written.push(events);
      await gate.promise;
      return answer(events, options?.isRepeat ?? false);
    },
    idle: async () => undefined,
  };
  const sink = createSink(task, appender, {
    onFault: (fault) => faults.push(fault),
    onFenced: () => fenced++,
  });
  const close = () => {
    gate = Promise.withResolvers<void>();
  };
  return { sink, written, faults, fenced: () => fenced, open: () => gate.resolve(), close };
}

function textsOf(events: TimedEvent[]): string[] {
  return events.map((event) => JSON.parse(event.data).text);
}

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunSink } from "../../src/runners/contract.ts";
import { Speed } from "../../src/runners/function/speed.ts";
import { Work } from "../../src/runners/function/work.ts";
import { type Ended, type FunctionTrial, openFunctions } from "../support/function-trial.ts";
import { until } from "../support/until.ts";

const mib = 2 ** 20;
const outputMaxBytes = 200_000;
const handlers: Record<string, string> = {
  fine: "() => 'fine'",
  logsLines: "({ n }) => { for (let i = 0; i < n; i += 1) console.log('line ' + i); return 'through'; }",
  logsGigabyte:
    "() => { const line = 'x'.repeat(1 << 20); for (let i = 0; i < 1024; i += 1) console.log(line); return 'through'; }",
  logsOne: "({ n }) => { console.log('y'.repeat(n)); }",
  logsCharacters: "() => { console.log('a' + '\\u{1F600}'.repeat(10_000)); }",
  writesAround: `async () => {
    const program = Bun.spawn(["sh", "-c", "yes zzzzzzz | head -c 268435456"], { stdout: "inherit" });
    return { code: await program.exited };
  }`,
  streamsTooMuch: "async (params, { stream }) => { for (;;) { stream('x'.repeat(1000)); await 1; } }",
  streams:
    "({ n }, { stream }) => { for (let i = 0; i < n; i += 1) stream(i + ' '.repeat(1000)); return performance.now(); }",
  bigPieces: "(params, { stream }) => { stream('\\u{1F600}'.repeat(40_000)); }",
};

let trial: FunctionTrial;

beforeAll(async () => {
  const params = JSON.stringify({ n: { type: "number" } });
  const files = Object.entries(handlers).map(([name, handler]) => [
    `${name}.ts`,
    `export default { params: ${params}, handler: ${handler} };`,
  ]);
  trial = await openFunctions(Object.fromEntries(files), { slots: 2, outputMaxBytes });
});

afterAll(() => trial[Symbol.asyncDispose]());

function logged(ended: Ended): number {
  return ended.logs.reduce((chars, { text }) => chars + text.length, 0);
}

describe("console output", () => {
  test("of a gigabyte is cut with a note; the function goes on and the server does not grow", async () => {
    const before = process.memoryUsage.rss();
    const ended = await trial.run("logsGigabyte");
    expect(ended.outcome).toMatchObject({ kind: "succeeded", output: "through" });
    expect(logged(ended)).toBeWithin(outputMaxBytes - 10_000, outputMaxBytes + 10_000);
    expect(ended.logs.at(-1)).toEqual({
      level: "warn",
      text: `Console output is cut here: a run may print ${outputMaxBytes} bytes`,
    });
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * mib);
  });

  test("of 256 MiB past the console is read and dropped, with a note", async () => {
    const before = process.memoryUsage.rss();
    const ended = await trial.run("writesAround");
    expect(ended.outcome).toMatchObject({ kind: "succeeded", output: { code: 0 } });
    expect(logged(ended)).toBeWithin(outputMaxBytes - 10_000, outputMaxBytes + 200_000);
    expect(ended.logs.at(-1)?.text).toContain("Console output is cut here");
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * mib);
    expect((await trial.run("fine")).logs).toEqual([]);
  });

  test("of many short lines arrives in order", async () => {
    const ended = await trial.run("logsLines", { n: 2_500 });
    const lines = ended.logs.flatMap(({ text }) => text.split("\n"));
    expect(lines).toEqual(Array.from({ length: 2_500 }, (_, at) => `line ${at}`));
  });

  test("is one event a line at first; in a flood, lines that come in together are joined", () => {
    const events: string[] = [];
    const log = (level: string, text: string) => void events.push(`${level}:${text}`);
    const sink: RunSink = { log, output: () => undefined, progress: () => undefined };
    const order = () => ({ kind: "release" }) as const;
    const work = new Work({ order, sink, timeoutMs: 1, memoryMbMax: 1, outputBytesMax: 1_000_000, speed: new Speed() });
    for (let i = 0; i < 1_000; i += 1) work.log("info", "first");
    expect(events.splice(0)).toEqual(Array.from({ length: 1_000 }, () => "info:first"));
    for (const text of ["a", "b", "x".repeat(7_999), "c"]) work.log("info", text);
    for (const text of ["d", "e"]) work.log("error", text);
    work.flush();
    expect(events).toEqual(["info:a\nb", `info:${"x".repeat(7_999)}`, "info:c", "error:d\ne"]);
  });

  test("of very many short lines counts for more than its characters", async () => {
    const ended = await trial.run("logsLines", { n: 100_000 });
    expect(ended.outcome.kind).toBe("succeeded");
    expect(logged(ended)).toBeLessThan(outputMaxBytes / 2);
    expect(ended.logs.at(-1)?.text).toContain("Console output is cut here");
  });

  test("in one long line is cut into pieces that split no character", async () => {
    const long = await trial.run("logsOne", { n: 50_000 });
    expect(long.logs.map(({ text }) => text).join("")).toBe("y".repeat(50_000));
    const { logs } = await trial.run("logsCharacters");
    expect(logs.length).toBeGreaterThan(1);
    expect(logs.map(({ text }) => text).join("")).toBe(`a${"\u{1F600}".repeat(10_000)}`);
    for (const { text } of logs) expect(text.isWellFormed()).toBe(true);
  });

  test("of a run whose limit is smaller is cut there", async () => {
    const ended = await trial.run("logsOne", { n: 150_000 }, { limits: { outputMb: 0.1 } });
    expect(logged(ended)).toBeWithin(0.1 * mib, 0.1 * mib + 200);
  });
});

describe("a stream", () => {
  test("beyond the limit fails the run and says so", async () => {
    const ended = await trial.run("streamsTooMuch");
    expect(ended.outcome).toEqual({
      kind: "failed",
      error: { code: "output_limit", message: `The function streamed more than ${outputMaxBytes} bytes` },
    });
    expect(ended.pieces.join("").length).toBe(outputMaxBytes);
    expect((await trial.run("fine")).outcome).toMatchObject({ output: "fine" });
  });

  test("in long pieces splits no character", async () => {
    const { pieces } = await trial.run("bigPieces");
    expect(pieces.join("")).toBe("\u{1F600}".repeat(40_000));
    for (const piece of pieces) expect(piece.isWellFormed()).toBe(true);
  });

  test("waits for a receiver that asks for a pause, and loses nothing", async () => {
    await using wide = await openFunctions({
      "streams.ts": `export default { params: { n: { type: "number" } }, handler: ${handlers.streams} };`,
    });
    const held = Promise.withResolvers<void>();
    const pieces: string[] = [];
    const run = wide.start(
      "streams",
      { n: 5_000 },
      {},
      {
        output: (_stream, text) => {
          pieces.push(text);
          return held.promise;
        },
      },
    );
    let isOver = false;
    const ended = run.ended.then((end) => {
      isOver = true;
      return end;
    });
    await Bun.sleep(300);
    expect(isOver).toBe(false);
    // What fits into one read and the kernel's buffers, and not the five megabytes of it all.
    expect(pieces.length).toBeWithin(1, 2_500);
    held.resolve();
    expect((await ended).outcome.kind).toBe("succeeded");
    expect(pieces).toHaveLength(5_000);
    expect(pieces.map((piece) => Number.parseInt(piece, 10))).toEqual(Array.from({ length: 5_000 }, (_, at) => at));
  });

  test("that nobody reads can still be cancelled", async () => {
    const run = trial.start("streamsTooMuch", {}, {}, { output: () => new Promise<void>(() => undefined) });
    await Bun.sleep(50);
    run.stop("cancelled");
    expect((await run.ended).outcome).toEqual({ kind: "cancelled" });
  });
});

test("text that belongs to no run is told to the operator, and only so much of it", async () => {
  const leaves = `export default {
    handler: () => {
      Bun.spawn(["sh", "-c", "sleep 0.1; yes nobody | head -c 5000000"], { stdout: "inherit" });
      setTimeout(() => console.log("after the end"), 50);
      return process.pid;
    },
  };`;
  await using own = await openFunctions({ "leaves.ts": leaves }, { slots: 1 });
  const ended = await own.run("leaves");
  expect(ended.outcome.kind).toBe("succeeded");
  const told = () => own.log.lines().filter((line) => line.includes("printed outside of a run"));
  await until("the text is told", () => told().some((line) => line.includes("nobody")));
  expect(told().some((line) => line.includes("after the end"))).toBe(true);
  expect((await own.run("leaves")).outcome.kind).toBe("succeeded");
  expect(told().length).toBeLessThan(100);
  expect(ended.logs).toEqual([]);
});

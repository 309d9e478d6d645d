import { describe, expect, test } from "bun:test";
import { failureOf, hasBwrap, messageOf, sharedTrial } from "../support/script-trial.ts";

const opened = sharedTrial({ mode: hasBwrap ? "bwrap" : "none", graceMs: 50 });
const bytesPerMb = 1_048_576;
const growthMaxMb = 32;
const longMs = 120_000;

describe("output without end", () => {
  test.each(["lines", "one endless line", "NUL bytes", "terminal codes", "both streams", "directives"])(
    "(%s) ends the run, with its head and tail kept and the server's memory as it was",
    async (way) => {
      const trial = await opened();
      const watched = watchMemory();
      const run = await trial.run({ program: "flood.sh", files: { way }, limits: { wallS: 60 } });
      expect(failureOf(run.outcome)).toBe("output_limit");
      expect(messageOf(run.outcome)).toContain("more than 100 MiB of output");
      expect(Buffer.byteLength(run.output)).toBeLessThanOrEqual(bytesPerMb + 65_536);
      expect(run.logs.filter((line) => line.includes("output is cut"))).toHaveLength(1);
      expect(watched.stop()).toBeLessThan(growthMaxMb);
    },
    longMs,
  );

  test("that is bounded is cut in the middle and does not end the run", async () => {
    const trial = await opened();
    const run = await trial.run({ program: "flood.sh", files: { way: "three megabytes in bits" } });
    expect(run.outcome.kind).toBe("succeeded");
    expect(run.output).toStartWith(`${"1".padStart(1_000, "0")}\n`);
    expect(run.output).toEndWith(`${"3000".padStart(1_000, "0")}\n`);
    const lines = new Set(run.output.split("\n").map(Number));
    const [, bytes, left] = /output is cut: (\d+) bytes in (\d+) lines/.exec(run.logs.join("\n")) ?? [];
    expect(Number(bytes) + run.output.length).toBe(3_000 * 1_001);
    expect(lines.size).toBeWithin(3_000 - Number(left), 3_000 - Number(left) + 3);
  });

  test("that is binary arrives as text", async () => {
    const trial = await opened();
    const { output, outcome } = await trial.run({ program: "flood.sh", files: { way: "binary" } });
    expect(outcome.kind).toBe("succeeded");
    expect(output).toContain("\uFFFD");
    expect(output).not.toContain("\0");
  });
});

test("a reader that takes its time holds the script up, and gets everything", async () => {
  const trial = await opened();
  let taken = 0;
  let running = 0;
  const run = await trial.run({
    text: "seq 1 60000",
    onOutput: async (_stream, text) => {
      expect(++running).toBe(1);
      await Bun.sleep(5);
      running--;
      taken += text.length;
    },
  });
  expect(taken).toBe(run.output.length);
  expect(run.output.split("\n")).toHaveLength(60_001);
});

/** Growth of this process at the worst, in MiB. What tests themselves keep of the output is far less than what it bounds. */
function watchMemory() {
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  let worst = before;
  const timer = setInterval(() => {
    worst = Math.max(worst, process.memoryUsage.rss());
  }, 20);
  return {
    stop: () => {
      clearInterval(timer);
      return (worst - before) / bytesPerMb;
    },
  };
}

import { describe, expect, test } from "bun:test";
import { parseDirective } from "../../src/runners/script/directives.ts";
import { createScriptOutput } from "../../src/runners/script/output.ts";
import { createOutputCap } from "../../src/runners/script/output-cap.ts";
import { hasBwrap, sharedTrial } from "../support/script-trial.ts";

const opened = sharedTrial({ mode: hasBwrap ? "bwrap" : "none" });
const bytesPerMb = 1_048_576;

describe("a line of output", () => {
  const directives: [line: string, meant: object][] = [
    ["::progress 0.4 fitting", { kind: "progress", fraction: 0.4, text: "fitting" }],
    ["::progress .5", { kind: "progress", fraction: 0.5, text: null }],
    ["::progress 1", { kind: "progress", fraction: 1, text: null }],
    ["::progress 40% of it", { kind: "progress", fraction: 0.4, text: "of it" }],
    ["::progress 7 too much", { kind: "progress", fraction: 1, text: "too much" }],
    ["::log warn careful", { kind: "log", level: "warn", text: "careful" }],
    ["::log warning careful", { kind: "log", level: "warn", text: "careful" }],
    ["::log error no", { kind: "log", level: "error", text: "no" }],
    ["::log just so", { kind: "log", level: "info", text: "just so" }],
    ["::log errors are many", { kind: "log", level: "info", text: "errors are many" }],
  ];
  test.each(directives)("%j is understood", (line, meant) => {
    expect(parseDirective(line)).toEqual(meant as ReturnType<typeof parseDirective>);
  });

  const texts = [
    "::progress",
    "::progress much",
    "::progress -1",
    "::logs a",
    "::log",
    " ::log a",
    ":: log a",
    "::progression 1",
  ];
  test.each(texts)("%j is output", (line) => {
    expect(parseDirective(line)).toBeNull();
  });
});

test("directives are found wherever the reads cut them", async () => {
  const text = "a\n::progress 0.25 first\nb::log no\n:\n::log warn careful\r\n::x\n\n::log last\nend\n::progress 1";
  const whole = await outputOf([text]);
  expect(whole).toEqual([
    "a\n",
    [0.25, "first"],
    "b::log no\n:\n",
    ["warn", "careful"],
    "::x\n\n",
    ["info", "last"],
    "end\n",
    [1],
  ]);
  for (let size = 1; size < 12; size++) {
    expect(await outputOf(pieces(text, size))).toEqual(whole);
  }
});

test("text that is cut within a character arrives whole, and what is no text as a sign", async () => {
  const bytes = Buffer.concat([
    Buffer.from("grüße €\u{1F600}"),
    Buffer.from([0xff, 0x00, 0xe2, 0x82]),
    Buffer.from("x\n"),
  ]);
  for (let size = 1; size < 8; size++) {
    const cut = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    expect(await outputOf(cut)).toEqual(["grüße €\u{1F600}\uFFFD\uFFFD\uFFFDx\n"]);
  }
});

test("a part of a line is passed on before the line ends", async () => {
  const trial = await opened();
  const { output, said } = await trial.run({
    text: "printf 'wait for it: '; sleep 0.2; echo done; printf '::log no line end'",
  });
  expect(output).toBe("wait for it: done\n");
  expect(said).toContain("<info: no line end>");
});

test("directives of a script become progress and log lines, in their places", async () => {
  const trial = await opened();
  const text = "echo a; echo '::progress 0.4 half'; echo b >&2; echo '::log error bad' >&2; echo c";
  expect((await trial.run({ text })).said).toBe("a\n<0.4 half>\nb\n<error: bad>\nc\n");
});

test("progress is said ten times a second at most, and the last step always", async () => {
  const trial = await opened();
  const { said } = await trial.run({
    text: "for n in {1..900}; do echo ::progress 0.$n; done; echo ::progress 1 done",
  });
  const steps = said.match(/<[\d.]+( done)?>/g) ?? [];
  expect(steps.length).toBeLessThan(60);
  expect(steps.at(-1)).toBe("<1 done>");
});

describe("the cap on output", () => {
  test("passes everything below it on at once", () => {
    const cap = createOutputCap(1);
    expect(cap.push("x".repeat(700_000))).toHaveLength(700_000);
    expect(cap.end()).toEqual({ tail: [], cut: null });
  });

  test("loses nothing of what just fits", () => {
    const cap = createOutputCap(1);
    const shown = cap.push("y".repeat(bytesPerMb - 10));
    expect(shown.length + cap.end().tail.join("").length).toBe(bytesPerMb - 10);
    expect(cap.end().cut).toBeNull();
  });

  test("keeps the head and the tail, and counts what it leaves out", () => {
    const cap = createOutputCap(1);
    const line = `${"é".repeat(49)}\n`;
    let shown = "";
    for (let n = 0; n < 40_000; n++) shown += cap.push(line);
    const { tail, cut } = cap.end();
    const kept = Buffer.byteLength(shown) + Buffer.byteLength(tail.join(""));
    expect(kept).toBeLessThanOrEqual(bytesPerMb);
    expect(kept).toBeGreaterThan(bytesPerMb * 0.9);
    expect(kept + (cut?.bytes ?? 0)).toBe(40_000 * 99);
    expect(shown + tail.join("")).not.toContain("\uFFFD");
    expect(cut?.lines).toBeWithin(Math.floor((cut?.bytes ?? 0) / 99) - 1, Math.ceil((cut?.bytes ?? 0) / 99) + 1);
  });
});

/** What the sink was told, in order; neighbouring pieces of output are one. */
async function outputOf(chunks: (string | Uint8Array)[]): Promise<unknown[]> {
  const told: unknown[] = [];
  const output = createScriptOutput(
    {
      log: (level, text) => void told.push([level, text]),
      output: (_stream, text) => {
        if (typeof told.at(-1) === "string") told[told.length - 1] += text;
        else told.push(text);
      },
      progress: (...step) => void told.push(step.filter((part) => part !== undefined)),
    },
    1,
    () => undefined,
  );
  for (const chunk of chunks) await output.take(Buffer.from(chunk));
  await output.end();
  return told;
}

function pieces(text: string, size: number): string[] {
  return Array.from({ length: Math.ceil(text.length / size) }, (_, at) => text.slice(at * size, (at + 1) * size));
}

import { describe, expect, test } from "bun:test";
import { freemem } from "node:os";
import {
  failureOf,
  hasBwrap,
  isFull,
  isRoot,
  messageOf,
  processesMarked,
  removeHostile,
  sharedTrial,
} from "../support/script-trial.ts";

const longMs = 120_000;
const entriesMax = isFull ? 100_000 : 8_000;
const opened = sharedTrial({ mode: hasBwrap ? "bwrap" : "none", graceMs: 50, entriesMax });
const has = (name: string) => Bun.which(name) !== null;
const bytesPerMb = 1_048_576;

describe("a fork bomb", () => {
  const bombs = isFull
    ? ["sh", "bash", "python", "perl"].flatMap((language) =>
        [64, 128, 256].map((processes) => ({ language, processes })),
      )
    : [
        { language: "sh", processes: 64 },
        { language: "bash", processes: 256 },
        { language: "python", processes: 128 },
        { language: "perl", processes: 256 },
      ];
  const possible = bombs.filter(({ language }) => has(language === "python" ? "python3" : language));

  test.each(possible)(
    "in $language with $processes processes harms nobody and is gone at once",
    async ({ language, processes }) => {
      const trial = await opened();
      const lag = watchLag();
      const run = trial.start({ program: "fork-bomb.sh", files: { language }, limits: { processes, wallS: 1 } });
      const { outcome, facts } = await run.done;
      expect(outcome.kind).toBe("timed_out");
      expect(facts.wallMs).toBeLessThan(20_000);
      expect(lag.stop()).toBeLessThan(500);
      expect((await trial.run({ text: "echo next" })).output).toBe("next\n");
    },
    longMs,
  );
});

describe("memory", () => {
  const ways = ["python", "perl", "node", "tail", "family"].filter(
    (way) => has(way === "python" ? "python3" : way) || way === "family",
  );

  test.each(ways)(
    "taken without end (%s) ends the run and nothing else",
    async (way) => {
      const trial = await opened();
      const before = { rss: process.memoryUsage.rss(), free: freemem() };
      const { outcome, facts } = await trial.run({
        program: "eat-memory.sh",
        files: { way },
        limits: { memoryMb: 256, wallS: 30 },
      });
      expect(outcome.kind).toBe("failed");
      // Without a control group an allocator is refused before the sum is seen, and says so with its own exit code.
      if (trial.choice.sandbox?.cgroups !== null) expect(failureOf(outcome)).toBe("out_of_memory");
      expect(facts.maxRssMb).toBeLessThan(600);
      expect(process.memoryUsage.rss() - before.rss).toBeLessThan(64 * bytesPerMb);
    },
    longMs,
  );

  test.skipIf(!hasBwrap)(
    "cannot be filled through a file system",
    async () => {
      const trial = await opened();
      const { output } = await trial.run({ program: "fill-memory-disks.sh" });
      const filled = new Map(output.split("\n").map((line) => [line.split(" ")[0], Number(line.split(" ")[1] ?? 0)]));
      for (const closed of ["/", "/dev", "/run"]) expect(filled.get(closed)).toBe(0);
      expect(filled.get("/dev/shm")).toBeWithin(40, 65);
      expect(filled.get("/tmp")).toBeWithin(200, 257);
    },
    longMs,
  );

  test("used by a script is recorded", async () => {
    const trial = await opened();
    const { facts } = await trial.run({ text: `perl -e 'my $held = "x" x (100 << 20); sleep 1'` });
    expect(facts.maxRssMb).toBeGreaterThan(90);
    expect(facts.maxRssMb).toBeLessThan(400);
  });
});

describe("disk", () => {
  const ways: [way: string, ends: string, says: string][] = [
    ["one big file", "file_limit", "a file of more than 16 MiB"],
    ["many big files", "file_limit", "holds more than 64 MiB"],
    ["a preallocated file", "file_limit", "a file of more than 16 MiB"],
    ["a sparse file of 1 TB", "file_limit", "a file of more than 16 MiB"],
    ["many small files", "file_limit", `more than ${entriesMax} files`],
    ["deep directories", "succeeded", ""],
    ["files without a name", "file_limit", "a file of more than 16 MiB"],
    ["a disk in memory", "file_limit", "a file of more than 16 MiB"],
  ];

  test.each(ways)(
    "taken by %s: the run ends as %s",
    async (way, ends, says) => {
      const trial = await opened();
      const { outcome, directory } = await trial.run({
        program: "fill-disk.sh",
        files: { way },
        limits: { fileMb: 16 },
      });
      expect(failureOf(outcome)).toBe(ends);
      expect(messageOf(outcome)).toContain(says);
      removeHostile(directory);
      expect(await Bun.file(directory).exists()).toBe(false);
    },
    longMs,
  );
});

describe.concurrent("time", () => {
  const ways: [way: string, wallS: number, cpuS: number, says: string][] = [
    ["a busy loop", 90, 1, "its 1 s of CPU time"],
    ["busy children", 90, 2, "its 2 s of CPU time"],
    ["a busy program that handles SIGXCPU", 90, 1, "its 1 s of CPU time"],
    ["a long sleep", 1, 30, "did not end within 1 s"],
    ["a sleep that ignores TERM", 1, 30, "did not end within 1 s"],
    ["a stopped tree", 1, 30, "did not end within 1 s"],
  ];

  test.each(ways)(
    "taken by %s is bounded",
    async (way, wallS, cpuS, says) => {
      const trial = await opened();
      const { outcome, facts } = await trial.run({ program: "take-time.sh", files: { way }, limits: { wallS, cpuS } });
      expect(outcome).toMatchObject({ kind: "timed_out", message: expect.stringContaining(says) });
      // A busy machine takes its time to give it its seconds of CPU.
      expect(facts.wallMs).toBeLessThan(60_000);
    },
    longMs,
  );

  test("asked for beyond the server's maximum is not given", async () => {
    const trial = await opened();
    const { facts } = await trial.run({
      text: "ulimit -t",
      limits: { cpuS: 10_000, wallS: 10_000, memoryMb: 1_000_000 },
    });
    expect(facts.limits).toMatchObject({ cpuS: 30, wallS: 60, memoryMb: 512 });
  });
});

test("a script sees the limits that are recorded for it", async () => {
  const trial = await opened();
  const { output } = await trial.run({
    text: "ulimit -c; ulimit -n; ulimit -f; ulimit -t",
    limits: { fileMb: 8, cpuS: 7 },
  });
  expect(output).toBe("0\n1024\n8192\n7\n");
});

test.skipIf(!isRoot)("a run's control group is removed after it", async () => {
  const trial = await opened();
  const mark = `cgroup-${process.pid}`;
  const run = await trial.run({ text: `bash -c 'exec -a ${mark} sleep 0.05'`, runId: mark });
  const parent = trial.choice.sandbox?.cgroups;
  expect(run.outcome.kind).toBe("succeeded");
  expect(processesMarked(mark)).toEqual([]);
  // Where groups are writable, none may stay behind; elsewhere memory is watched and the tier says so.
  if (parent === null) expect(run.facts.sandbox).toContain("memory watched");
  else {
    await trial.runner.close();
    expect(parent?.leftovers()).toEqual([]);
  }
});

/** How long the event loop was held up at the worst. */
function watchLag() {
  let worst = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    worst = Math.max(worst, performance.now() - last - 10);
    last = performance.now();
  }, 10);
  return {
    stop: () => {
      clearInterval(timer);
      return worst;
    },
  };
}

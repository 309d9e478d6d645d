import { describe, expect, test } from "bun:test";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import type { ContainerRunner } from "../../src/runners/container/runner.ts";
import { begin, containerErrorOf, outputOf, runLinkOf } from "../support/containers/link-run.ts";
import { eventually, runnerOf, temporaryDirectory } from "../support/containers/runner-of.ts";
import { type OpenSandbox, sandboxOf } from "../support/containers/sandbox-of.ts";

const repository = resolve(import.meta.dir, "../..");
const isolated = await sandboxOf("bwrap");
const plain = await sandboxOf("none");
const isRoot = process.getuid?.() === 0;

type Entry = { exec: string | string[] } & Record<string, unknown>;

function commands(sandbox: OpenSandbox | null, entries: Record<string, Entry>): ContainerRunner {
  if (sandbox === null) throw new Error("this tier is not to be had here");
  const containers = Object.entries(entries).map(([id, entry]) => ({ id, ...entry }));
  const { choice, scratchDir } = sandbox;
  return runnerOf(containers, { sandbox: choice, scratchDir, graceMs: 100, answerBytesMax: 100_000 }).runner;
}

const one = (sandbox: OpenSandbox | null, exec: Entry["exec"], entry: Record<string, unknown> = {}) =>
  commands(sandbox, { "under-test": { exec, ...entry } });

const tiers: [name: string, sandbox: OpenSandbox | null][] = [
  ["with bubblewrap", isolated],
  ["without isolation", plain],
];

for (const [tier, sandbox] of tiers) {
  describe.skipIf(sandbox === null)(`a command ${tier}`, () => {
    test("gets the data on stdin, and its stdout is the output", async () => {
      const done = await runLinkOf(one(sandbox, "cat"), "under-test", { text: "some wörds", list: [1, null] });
      expect(outputOf(done)).toEqual({ text: "some wörds", list: [1, null] });
      expect(done.facts).toMatchObject({ exitCode: 0, sandbox: sandbox?.choice.sandbox?.describe(false) });
      expect(done.facts.limits?.processes).toBe(64);
    });

    test("is told what the container protocol carries, and nothing of the server", async () => {
      const line = `env | sed 's/\\(.*\\)/"\\1",/' | { printf '['; cat; printf '0]'; }`;
      const options = { source: 0, requiresProof: true };
      const done = await runLinkOf(one(sandbox, line, { env: { MODEL: "small" } }), "under-test", {}, { options });
      const variables = (outputOf(done) as string[]).map(String);
      expect(variables).toEqual(
        expect.arrayContaining([
          "FAIRLEAD_CONTAINER=under-test",
          "FAIRLEAD_JOB_ID=job-1",
          "FAIRLEAD_ATTEMPT=1",
          "FAIRLEAD_SOURCE=0",
          "FAIRLEAD_DESTINATION=1",
          "FAIRLEAD_REQUIRES_PROOF=true",
          "MODEL=small",
        ]),
      );
      const names = variables.map((variable) => variable.split("=")[0]);
      expect(
        names.filter((name) => !/^(FAIRLEAD_\w+|MODEL|HOME|PATH|LANG|PWD|SHLVL|OLDPWD|_|0)$/.test(name ?? "")),
      ).toEqual([]);
    });

    test("logs what it writes on stderr, line by line", async () => {
      const done = await runLinkOf(
        one(sandbox, `echo one >&2; printf 'two\\nthree' >&2; echo '{"a":1}'`),
        "under-test",
        {},
      );
      expect(outputOf(done)).toEqual({ a: 1 });
      const lines = done.logs.filter(([level]) => level === "info").map(([, text]) => text);
      expect(lines).toEqual(["one", "two", "three"]);
    });

    test("has a directory to write to that is gone after it", async () => {
      const done = await runLinkOf(
        one(sandbox, `echo '{"kept":true}' > "$HOME/f" && mkdir "$HOME/d" && chmod 0 "$HOME/d" && cat "$HOME/f"`),
        "under-test",
        {},
      );
      expect(outputOf(done)).toEqual({ kept: true });
      expect(readdirSync(sandbox?.scratchDir ?? "")).toEqual([]);
    });

    test("starts in its directory, which it can read", async () => {
      const directory = temporaryDirectory();
      chmodSync(directory, 0o755);
      writeFileSync(join(directory, "model.json"), '{"weights":7}', { mode: 0o644 });
      const done = await runLinkOf(one(sandbox, ["cat", "model.json"], { directory }), "under-test", {});
      expect(outputOf(done)).toEqual({ weights: 7 });
    });

    test("may be a TypeScript file for the Bun that runs the server", async () => {
      const directory = temporaryDirectory();
      chmodSync(directory, 0o755);
      const text =
        "const data: { n: number } = await Bun.stdin.json();\nconsole.log(JSON.stringify({ n: data.n + 1 }));\n";
      writeFileSync(join(directory, "increment.ts"), text, { mode: 0o644 });
      const done = await runLinkOf(one(sandbox, ["bun", "increment.ts"], { directory }), "under-test", { n: 41 });
      expect(outputOf(done)).toEqual({ n: 42 });
    });

    test("of a stream hands on its stdout as it comes", async () => {
      const runner = one(
        sandbox,
        `printf 'one '; while [ ! -e "$HOME/never" ] && [ $((n+=1)) -lt 3 ]; do sleep 0.05; done; printf 'two'`,
      );
      const done = await runLinkOf(runner, "under-test", {}, { options: { stream: true } });
      expect(outputOf(done)).toEqual({ output: "one two" });
      expect(done.streamed.join("")).toBe("one two");
      expect(done.streamed.length).toBeGreaterThan(1);
    });

    test("need not read the data", async () => {
      const done = await runLinkOf(one(sandbox, `echo '"fine"'`), "under-test", { text: "x".repeat(5_000_000) });
      expect(outputOf(done)).toBe("fine");
    });

    test("gets ten megabytes of data whole", async () => {
      const done = await runLinkOf(one(sandbox, "wc -c"), "under-test", { text: "x".repeat(10_000_000) });
      expect(outputOf(done)).toBe(10_000_011);
    });

    const failures: [name: string, exec: Entry["exec"], reason: string | RegExp][] = [
      ["writes wrong JSON", `echo '{"a":'`, /stdout is not JSON: .*it says: \{"a":/],
      ["writes nothing", "true", "wrote nothing on stdout"],
      ["exits with another code than 0", "echo half; echo 'no weights' >&2; exit 3", "exited with 3: no weights"],
      ["is killed", "kill -KILL $$", "was killed by SIGKILL"],
      ["is not there", ["no-such-command"], /exited with 127.*no-such-command/s],
      ["floods stdout", "cat /dev/zero", "stdout has more than 100000 bytes"],
      ["floods stderr and fails", "head -c 3000000 /dev/zero | tr '\\0' 'e' >&2; exit 1", /exited with 1: e{1000}/],
    ];
    test.each(failures)("that %s fails with the reason", async (_name, exec, reason) => {
      const message = containerErrorOf(await runLinkOf(one(sandbox, exec), "under-test", {}));
      expect(message).toStartWith('container "under-test": ');
      expect(message).toMatch(reason);
      expect(message.length).toBeLessThan(4_200);
    });

    test("whose stderr is more than is kept says so once", async () => {
      const runner = one(sandbox, "yes 'a line of some length' | head -c 3000000 >&2; echo 1");
      const { logs } = await runLinkOf(runner, "under-test", {});
      expect(logs.filter(([, text]) => text.startsWith("stderr has more than 1 MiB"))).toHaveLength(1);
      expect(logs.reduce((sum, [, text]) => sum + text.length + 1, 0)).toBeLessThan(1_100_000);
    });

    test("that takes longer than its time is ended, with everything it started", async () => {
      const runner = one(sandbox, "trap '' TERM; setsid sleep 61 & sleep 62");
      const done = await runLinkOf(runner, "under-test", {}, { timeoutMs: 300 });
      expect(done.outcome).toEqual({
        kind: "timed_out",
        message: 'container "under-test": gave no result within 0.3 s',
      });
      expect(readdirSync(sandbox?.scratchDir ?? "")).toEqual([]);
    });

    test("that passes a limit of its entry says which", async () => {
      const done = await runLinkOf(one(sandbox, "sleep 60", { limits: { wall_s: 1 } }), "under-test", {});
      expect(done.outcome).toEqual({ kind: "timed_out", message: 'container "under-test": it did not end within 1 s' });
      expect(done.facts.limits?.wallS).toBe(1);
    });

    test("that takes more memory than its entry has ends with that reason", async () => {
      const exec = "awk 'BEGIN { text = \"x\"; while (length(text) < 400000000) text = text text; print 1 }'";
      const { outcome } = await runLinkOf(one(sandbox, exec, { limits: { memory_mb: 64 } }), "under-test", {});
      expect(outcome).toMatchObject({
        kind: "failed",
        error: { message: expect.stringMatching(/^container "under-test": .*memory/is) },
      });
    });

    test.each([
      ["cancelled", "cancelled"],
      ["interrupted", "interrupted"],
    ] as const)("that is stopped as %s ends so", async (reason, kind) => {
      const run = begin(one(sandbox, "sleep 60"), "under-test", {}, { jobId: `stopped-${reason}` });
      await eventually("the run's directory", () => readdirSync(sandbox?.scratchDir ?? "").length === 1);
      run.stop(reason);
      expect((await run.done).outcome.kind).toBe(kind);
    });

    test("whose directory is missing fails with the fix", async () => {
      const directory = join(temporaryDirectory(), "gone");
      const message = containerErrorOf(await runLinkOf(one(sandbox, "true", { directory }), "under-test", {}));
      expect(message).toBe(
        `container "under-test": its directory ${directory} is not there: make it, or correct \`directory\``,
      );
    });

    test("of the samples makes a chain that runs right after the first start", async () => {
      if (sandbox === null) throw new Error("this tier is not to be had here");
      const { choice, scratchDir } = sandbox;
      const { runner } = runnerOf([], { path: join(repository, "containers.json"), sandbox: choice, scratchDir });
      expect(runner.list().map(({ id, external }) => [id, external])).toEqual([
        ["to-uppercase", true],
        ["word-count", true],
      ]);
      const upper = outputOf(await runLinkOf(runner, "to-uppercase", { text: 'some "words"\n' }));
      expect(upper).toEqual({ text: 'SOME "WORDS"\n' });
      expect(outputOf(await runLinkOf(runner, "word-count", upper))).toEqual({ words: 2 });
      expect(containerErrorOf(await runLinkOf(runner, "word-count", {}))).toContain('there is no "text" in the input');
    });

    test.skipIf(!isRoot)("sees a copy of a small directory that its account cannot enter", async () => {
      const closed = temporaryDirectory();
      chmodSync(closed, 0o700);
      mkdirSync(join(closed, "tools"));
      writeFileSync(join(closed, "tools", "answer.json"), "[3]", { mode: 0o644 });
      const directory = join(closed, "tools");
      expect(outputOf(await runLinkOf(one(sandbox, "cat answer.json", { directory }), "under-test", {}))).toEqual([3]);
      writeFileSync(join(directory, "model"), Buffer.alloc(2_000_000));
      const message = containerErrorOf(await runLinkOf(one(sandbox, "true", { directory }), "under-test", {}));
      expect(message).toEndWith("it has more than 1 MiB or 100 entries, it is not copied: put it elsewhere");
    });
  });
}

const outside = ["/var/local", "/opt", "/srv"].find(isWritable);

describe.skipIf(isolated === null || outside === undefined)("bubblewrap", () => {
  test("shows a command its directory, which it cannot change", async () => {
    const directory = mkdtempSync(join(outside ?? "", "fairlead-containers-"));
    try {
      chmodSync(directory, 0o777);
      writeFileSync(join(directory, "f"), "1", { mode: 0o666 });
      const runner = commands(isolated, {
        reads: { exec: "cat f; pwd >&2", directory },
        writes: { exec: "echo 2 > f", directory },
      });
      const read = await runLinkOf(runner, "reads", {});
      expect(outputOf(read)).toBe(1);
      expect(read.logs).toEqual([["info", directory]]);
      expect(containerErrorOf(await runLinkOf(runner, "writes", {}))).toContain("Read-only file system");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

test.skipIf(isolated === null)("bubblewrap gives a command the network only when its entry does", async () => {
  const exec = "awk 'NR > 2' /proc/net/dev | wc -l";
  const runner = commands(isolated, { alone: { exec }, granted: { exec, limits: { network: true } } });
  const alone = await runLinkOf(runner, "alone", {});
  expect(outputOf(alone)).toBe(1);
  expect(alone.facts.limits?.network).toBe(false);
  const granted = await runLinkOf(runner, "granted", {});
  const interfaces = readFileSync("/proc/net/dev", "utf8").trim().split("\n").length - 2;
  expect(outputOf(granted)).toBe(interfaces);
  expect(granted.facts.limits?.network).toBe(true);
  const refused = await runLinkOf(runner, "granted", {}, { limits: { network: false } });
  expect(refused.facts.limits?.network).toBe(false);
});

test("a command without a sandbox fails with the sandbox's own reason", async () => {
  const { runner, directory } = runnerOf([{ id: "a", exec: "true" }]);
  expect((await runLinkOf(runner, "a", {})).outcome).toEqual({
    kind: "failed",
    error: { code: "sandbox_unavailable", message: 'container "a": scripts cannot run in this test' },
  });
  expect(existsSync(join(directory, "scratch"))).toBe(false);
});

test("directories of runs whose server is gone are removed at the start", async () => {
  const scratchDir = join(temporaryDirectory(), "scratch");
  const ended = Bun.spawn(["true"]);
  await ended.exited;
  for (const name of [`${ended.pid}-run`, `${process.pid}-run`, "else"])
    mkdirSync(join(scratchDir, name), { recursive: true });
  runnerOf([], { scratchDir });
  await eventually("the removal", () => readdirSync(scratchDir).length === 2);
  expect(readdirSync(scratchDir).sort()).toEqual([`${process.pid}-run`, "else"]);
});

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    // Not there or not ours: the next one may be.
    return false;
  }
}

import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readScript } from "../../src/runners/script/read-script.ts";
import { whenFileEnds } from "../support/ending.ts";
import { failureOf, hasBwrap, messageOf, sharedTrial } from "../support/script-trial.ts";

const opened = sharedTrial({ mode: hasBwrap ? "bwrap" : "none" });
const windows = (text: string) => text.replaceAll("\n", "\r\n");

describe("a payload that has no script to run is refused with a reason its author understands:", () => {
  const cases: [what: string, make: (directory: string) => void, says: string][] = [
    ["nothing at all", () => undefined, "there is no run.sh among the files"],
    ["another name", (at) => writeFileSync(join(at, "RUN.sh"), "true"), 'but a "RUN.sh": rename it'],
    ["a name Windows gave", (at) => writeFileSync(join(at, "run.sh.txt"), "true"), 'but a "run.sh.txt": rename it'],
    ["a directory", (at) => mkdirSync(join(at, "run.sh")), "run.sh is a directory, not a file"],
    ["a link", (at) => symlinkSync("/etc/passwd", join(at, "run.sh")), "run.sh is a link"],
    ["a pipe", (at) => void Bun.spawnSync(["mkfifo", join(at, "run.sh")]), "run.sh is a pipe, not a file"],
    ["an empty file", (at) => writeFileSync(join(at, "run.sh"), ""), "run.sh is empty"],
    ["blank lines", (at) => writeFileSync(join(at, "run.sh"), "\n \r\n\t\n"), "run.sh is empty"],
    ["a program", (at) => writeFileSync(join(at, "run.sh"), readFileSync("/bin/bash")), "run.sh is a binary file"],
    ["UTF-16", (at) => writeFileSync(join(at, "run.sh"), Buffer.from("\uFEFFecho", "utf16le")), "save it as UTF-8"],
    [
      "a long script from Windows",
      (at) => writeFileSync(join(at, "run.sh"), "true\r\n".repeat(20_000)),
      "dos2unix run.sh",
    ],
    [
      "a script from Windows in its code page",
      (at) => writeFileSync(join(at, "run.sh"), Buffer.from("echo \xe9\r\n", "latin1")),
      "not UTF-8",
    ],
  ];

  test.each(cases)("%s", (_what, make, says) => {
    const directory = scratch();
    make(directory);
    expect(readScript(directory)).toEqual({ kind: "refused", reason: expect.stringContaining(says) });
  });
});

test("a refused script is a failed task with that reason, and nothing was started", async () => {
  const trial = await opened();
  const { outcome, facts } = await trial.run({ files: { "data.csv": "1,2" } });
  expect([failureOf(outcome), messageOf(outcome)]).toEqual([
    "invalid",
    "there is no run.sh among the files: it is the script that is run, and must be at the top",
  ]);
  expect(facts).toMatchObject({ wallMs: 0, exitCode: null, cpuMs: null });
});

test("a task without files is refused", async () => {
  const trial = await opened();
  const sink = { log: () => undefined, output: () => undefined, progress: () => undefined };
  const request = { jobId: "j", taskIndex: 0, runId: "r", attempt: 1, target: "", input: null, options: {} };
  const run = trial.runner.start({ ...request, limits: {}, timeoutMs: 1, directory: null, traceparent: null }, sink);
  expect(failureOf((await run.done).outcome)).toBe("invalid");
});

test("a script from Windows runs as its author meant it, and stays as it is", async () => {
  const trial = await opened();
  const text = windows(
    '#!/bin/bash\nif [ "$0" = run.sh ]; then\n  cat <<END\nhere\nEND\nfi\ncd "$(dirname "$0")"\nexit 5\n',
  );
  const { output, outcome, logs, directory } = await trial.run({ text });
  expect(output).toBe("here\n");
  expect(messageOf(outcome)).toBe("run.sh exited with code 5");
  expect(logs).toEqual([expect.stringContaining("run.sh has Windows line ends")]);
  expect(readFileSync(join(directory, "run.sh"), "utf8")).toBe(text);
});

test("a script with a byte order mark runs", async () => {
  const trial = await opened();
  const { output, logs } = await trial.run({ text: "\uFEFFecho grüße\n" });
  expect(output).toBe("grüße\n");
  expect(logs).toEqual([expect.stringContaining("byte order mark")]);
});

test("a script that carries an archive after its text runs", async () => {
  const trial = await opened();
  const text = "#!/bin/bash\necho unpacking\nexit 0\n\0\x01\x02binary\r\n\0";
  expect((await trial.run({ text })).output).toBe("unpacking\n");
});

test("a second run of a payload that the first one closed ends with a reason", async () => {
  const trial = await opened();
  const first = await trial.run({ text: "echo once; chmod 000 * ." });
  expect(first.output).toBe("once\n");
  const { outcome, output } = await trial.run({ directory: first.directory });
  expect(["invalid", "exit_nonzero"]).toContain(failureOf(outcome));
  expect(`${messageOf(outcome)} ${output}`).toMatch(/cannot be read|Permission denied/);
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-read-"));
  whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

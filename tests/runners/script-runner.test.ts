import { describe, expect, test } from "bun:test";
import { failureOf, hasBwrap, messageOf, sharedTrial } from "../support/script-trial.ts";
import { until } from "../support/until.ts";

const modes = [...(hasBwrap ? (["bwrap"] as const) : []), "none" as const];

describe.each(modes)("under %s a script", (mode) => {
  const opened = sharedTrial({ mode, graceMs: 300 });

  test("that ends with 0 has succeeded, and everything about it is recorded", async () => {
    const trial = await opened();
    const { outcome, output, facts } = await trial.run({ text: "echo hello; sleep 0.1" });
    expect(outcome).toEqual({ kind: "succeeded", output: { exit_code: 0 } });
    expect(output).toBe("hello\n");
    expect(facts).toMatchObject({
      exitCode: 0,
      signal: null,
      sandbox: expect.stringMatching(new RegExp(`^${mode}: `)),
    });
    expect(facts.limits).toMatchObject({ memoryMb: 512, processes: 64, fileMb: 64, network: mode === "none" });
    expect(facts.wallMs).toBeWithin(100, 10_000);
    expect(facts.cpuMs).toBeWithin(0, 1_000);
    expect(facts.maxRssMb).toBeWithin(0, 100);
  });

  const ends: [text: string, code: string, message: string][] = [
    ["exit 3", "exit_nonzero", "run.sh exited with code 3"],
    ["no-such-command", "exit_nonzero", "code 127 (a command was not found"],
    ["/etc/hostname; ./run.sh", "exit_nonzero", "code 126 (a command was found but could not be executed"],
    ["bash -c 'kill -SEGV $$'; exit $?", "exit_nonzero", "code 139 (a program it ran was killed by SIGSEGV)"],
    ["kill -KILL $$", "killed_by_signal", "run.sh was killed by SIGKILL"],
    ["kill -TERM $$", "killed_by_signal", "run.sh was killed by SIGTERM"],
    ["kill -SEGV $$", "killed_by_signal", "run.sh was killed by SIGSEGV"],
    ["exit 137", "exit_nonzero", "code 137 (a program it ran was killed by SIGKILL)"],
    ["exit 255", "exit_nonzero", "run.sh exited with code 255"],
    ["head -c 70M /dev/zero > big", "file_limit", "a file of more than 64 MiB"],
    ["if true; then", "exit_nonzero", "run.sh exited with code 2"],
  ];

  test.each(ends)("of %j ends as %s: %s", async (text, code, message) => {
    const trial = await opened();
    const { outcome } = await trial.run({ text });
    expect(failureOf(outcome)).toBe(code);
    expect(messageOf(outcome)).toContain(message);
  });

  test("keeps its output in order, whichever way it is written", async () => {
    const trial = await opened();
    const { output } = await trial.run({
      text: "echo one; echo two >&2; echo three > /dev/stderr; echo four > /dev/stdout; echo five | tee /dev/stderr",
    });
    expect(output).toBe("one\ntwo\nthree\nfour\nfive\nfive\n");
  });

  test("shows its output while it runs", async () => {
    const trial = await opened();
    const run = trial.start({ text: "echo early; while [ ! -e go ]; do sleep 0.02; done; echo too late" });
    await until("the first line is there", () => run.output().includes("early"));
    run.active.stop("cancelled");
    expect((await run.done).output).toBe("early\n");
  });

  test("reads nothing on stdin", async () => {
    const trial = await opened();
    expect((await trial.run({ text: "cat; echo end" })).output).toBe("end\n");
  });

  test("that writes its exit code as the first orchestrator asked runs as any other", async () => {
    const trial = await opened();
    const text = `trap 'echo "$?" > .orchestrator.exit' EXIT\necho working\nexit 4`;
    const { outcome, directory } = await trial.run({ text });
    expect(messageOf(outcome)).toBe("run.sh exited with code 4");
    expect(await Bun.file(`${directory}/.orchestrator.exit`).text()).toBe("4\n");
  });

  test("leaves nothing running behind it", async () => {
    const trial = await opened();
    const run = await trial.run({ text: "(setsid sleep 1000 &); sleep 1000 & echo $!" });
    expect(run.outcome.kind).toBe("succeeded");
    expect(run.facts.wallMs).toBeLessThan(5_000);
  });

  test("that empties its own directory still ends", async () => {
    const trial = await opened();
    const { outcome } = await trial.run({ text: 'rm -rf "$PWD" .[!.]* * 2> /dev/null; echo gone' });
    expect(["succeeded", "invalid"]).toContain(failureOf(outcome));
  });
});

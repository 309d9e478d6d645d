import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive, processesTagged } from "../../src/runners/sandbox/processes.ts";
import type { Sandbox } from "../../src/runners/sandbox/sandbox.ts";
import { serverToken } from "../../src/runners/sandbox/tag.ts";
import { usualCommand } from "../../src/runners/script/read-script.ts";
import { Spares, type SparesOptions } from "../../src/runners/script/spares.ts";
import { whenFileEnds } from "../support/ending.ts";
import { trialLimits } from "../support/script-limits.ts";
import { failureOf, hasBwrap, isRoot, openTrial, type Trial } from "../support/script-trial.ts";
import { until } from "../support/until.ts";

const usual = { command: usualCommand, limits: trialLimits };
let trials = 0;

describe.skipIf(!hasBwrap)("a script whose files came to where a sandbox stood", () => {
  test("runs in that sandbox, wherever the files are by then", async () => {
    const { trial, ownToken } = await opened();
    const directory = await filled(trial, { "run.sh": `tr '\\0' '\\n' < /proc/1/cmdline; cat data`, data: "its data" });
    const moved = join(trial.dataDir, "payload-moved");
    renameSync(directory, moved);
    const { output, outcome } = await trial.run({ directory: moved, runId: "run-of-now" });
    expect(outcome.kind).toBe("succeeded");
    expect(output).toContain(ownToken);
    expect(output).not.toContain("run-of-now");
    expect(output).toEndWith("its data");
  });

  test("sees what any other script sees", async () => {
    const { trial } = await opened();
    const text =
      "pwd; id -u; ls; env | sort; ulimit -a; nice; grep -E '^(Cap|NoNew|Seccomp|Sig)' /proc/self/status; ls /dev /etc; find /proc/self/fd | wc -l";
    const ready = await filled(trial, { "run.sh": text, data: "" });
    const [early, late] = [
      await trial.run({ directory: ready, jobId: "one" }),
      await trial.run({ text, files: { data: "" }, jobId: "one" }),
    ];
    expect(early.output).toBe(late.output);
    expect(early.output).toStartWith(
      "/work\n1000\ndata\nrun.sh\nFAIRLEAD_ATTEMPT=1\nFAIRLEAD_JOB_ID=one\nHOME=/work\n",
    );
    expect(early.facts).toMatchObject({ sandbox: late.facts.sandbox, limits: late.facts.limits, exitCode: 0 });
    expect(early.facts.wallMs).toBeLessThan(5_000);
  });

  test("may change its files, and nobody else may look into them", async () => {
    const { trial } = await opened();
    const directory = await filled(trial, {
      "run.sh": "echo more >> data; echo new > made; rm run.sh",
      data: "some\n",
    });
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect((await trial.run({ directory })).outcome.kind).toBe("succeeded");
    expect(readdirSync(directory).toSorted()).toEqual(["data", "made"]);
    expect(await Bun.file(join(directory, "data")).text()).toBe("some\nmore\n");
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  test("is stopped, and bounded in time, like any other", async () => {
    const { trial } = await opened();
    const directory = await filled(trial, { "run.sh": "(setsid sleep 1000 &); echo up; sleep 1000" });
    const run = trial.start({ directory });
    await until("it runs", () => run.output() === "up\n");
    run.active.stop("cancelled");
    expect((await run.done).outcome.kind).toBe("cancelled");
    const another = await filled(trial, { "run.sh": "sleep 1000" });
    expect((await trial.run({ directory: another, timeoutMs: 100 })).outcome.kind).toBe("timed_out");
    const stopped = trial.start({ directory: await filled(trial, { "run.sh": "echo never" }) });
    stopped.active.stop("cancelled");
    expect(await stopped.done).toMatchObject({ outcome: { kind: "cancelled" }, output: "" });
  });

  test("has a sandbox of its own when it asks for other limits, or cannot be run as it is", async () => {
    const { trial } = await opened();
    const small = await filled(trial, { "run.sh": "ulimit -f; echo x >> data", data: "" });
    const { output, outcome } = await trial.run({ directory: small, limits: { fileMb: 1 } });
    expect([output, outcome.kind]).toEqual(["1024\n", "succeeded"]);
    const windows = await filled(trial, { "run.sh": "echo one\r\necho two >> data\r\n", data: "" });
    expect((await trial.run({ directory: windows })).output).toBe("one\n");
    expect(await Bun.file(join(windows, "data")).text()).toBe("two\n");
  });

  test("runs as whom its files belong to by then", async () => {
    const { trial } = await opened();
    const text = "printf 'echo second >> data' > run.sh\r\nexit 1\r\n";
    const directory = await filled(trial, { "run.sh": text, data: "" });
    expect(failureOf((await trial.run({ directory })).outcome)).toBe("exit_nonzero");
    expect((await trial.run({ directory, attempt: 2 })).outcome.kind).toBe("succeeded");
    expect(await Bun.file(join(directory, "data")).text()).toBe("second\n");
  });

  test("runs in another sandbox when that one was killed", async () => {
    const { trial, token } = await opened();
    const directory = await filled(trial, { "run.sh": "echo hello" });
    for (const pid of await processesTagged(token)) process.kill(pid, "SIGKILL");
    await until("it is gone", async () => (await alive(token)).length === 0);
    expect((await trial.run({ directory })).output).toBe("hello\n");
  });

  test("that deletes its directory or fails says so like any other", async () => {
    const { trial } = await opened();
    const gone = await trial.run({ directory: await filled(trial, { "run.sh": "exit 7" }) });
    expect(failureOf(gone.outcome)).toBe("exit_nonzero");
    const deleting = await filled(trial, { "run.sh": 'rm -rf -- "$PWD"/*; echo done' });
    expect((await trial.run({ directory: deleting })).output).toBe("done\n");
  });
});

describe.skipIf(!hasBwrap)("a sandbox that stands before there is a script", () => {
  test("is raised when a script has begun, one at a time", async () => {
    const { trial, token } = await opened({ isWarm: false });
    expect(trial.runner.takeDirectory()).toBeNull();
    await Promise.all(Array.from({ length: 5 }, () => trial.run({ text: "echo hello" })));
    await until("one stands", async () => (await alive(token)).length > 0);
    const directory = await taken(trial);
    expect(readdirSync(directory)).toEqual([]);
    expect(trial.runner.takeDirectory()).toBeNull();
  });

  test("runs nothing, and belongs to no other account's files, until it is told", async () => {
    const { trial, token } = await opened();
    const directory = await filled(trial, { "run.sh": "echo hello > made" });
    await Bun.sleep(50);
    expect(readdirSync(directory)).toEqual(["run.sh"]);
    if (isRoot) expect([statSync(directory).uid, statSync(join(directory, "run.sh")).uid]).toEqual([0, 0]);
    expect((await alive(token)).length).toBeGreaterThan(0);
  });

  test("is given up after a while, with its directory when that was nobody's", async () => {
    const { spares, made, token } = await openedSpares({ keepMs: 200, holdMs: 200 });
    spares.want();
    await until("it stands", () => made().length === 1);
    await until("it is gone", async () => made().length === 0 && (await alive(token)).length === 0);
    const given = await standing(spares);
    writeFileSync(join(given, "run.sh"), "echo hello");
    await until("it is gone", async () => (await alive(token)).length === 0);
    expect(spares.on(given, usual)).toBeNull();
    expect(readdirSync(given)).toEqual(["run.sh"]);
    if (isRoot) expect(statSync(given).uid).toBe(0);
  });

  test("is not raised for directories that pile up", async () => {
    const { spares, made } = await openedSpares({});
    for (let at = 0; at < 4; at++) await standing(spares);
    spares.want();
    await Bun.sleep(200);
    expect(spares.take()).toBeNull();
    expect(made()).toHaveLength(4);
  });

  test("leaves nothing when the server closes", async () => {
    const { spares, made, token } = await openedSpares({});
    await standing(spares);
    spares.want();
    await until("another stands", () => made().length === 2);
    spares.want();
    await spares.close();
    expect(await alive(token)).toEqual([]);
    expect(made()).toHaveLength(1);
    spares.want();
    expect(spares.take()).toBeNull();
    expect(made()).toHaveLength(1);
  });

  test("gives way to another when it dies", async () => {
    const { spares, token, made } = await openedSpares({});
    spares.want();
    await until("it stands", async () => (await alive(token)).length > 1);
    for (const pid of await processesTagged(token)) process.kill(pid, "SIGKILL");
    await until("it is gone with its directory", () => made().length === 0);
    expect(readdirSync(await standing(spares))).toEqual([]);
  });

  test("that cannot be killed harms nobody, and is forgotten", async () => {
    const given: number[] = [];
    const { spares, made } = await openedSpares({ keepMs: 50 }, (sandbox) => ({
      ...sandbox,
      accounts: sandbox.accounts && { ...sandbox.accounts, give: (identity) => void given.push(identity.uid) },
      driver: {
        ...sandbox.driver,
        start: (spec) => {
          const run = sandbox.driver.start(spec);
          whenFileEnds(async () => void (await run.kill()));
          return { ...run, kill: () => Promise.reject(new Error("as the test wants")) };
        },
      },
    }));
    spares.want();
    await until("it stands", () => made().length === 1);
    await until("it is given up", () => made().length === 0);
    await spares.close();
    expect(given).toHaveLength(isRoot ? 1 : 0);
  });

  test("that could not be raised is not missed", async () => {
    const { spares, trial } = await openedSpares({});
    writeFileSync(join(trial.dataDir, "ready"), "in its way");
    spares.want();
    await spares.close();
    expect(spares.take()).toBeNull();
  });
});

/** A trial with a sandbox that stands, unless it is not to be warm. */
async function opened({ isWarm = true } = {}) {
  const tag = `spare-${process.pid}-${++trials}`;
  const trial = await openTrial({ tag, graceMs: 100 });
  if (isWarm) await trial.run({ text: "true" });
  return { trial, token: serverToken(tag), ownToken: `fairlead-run:${tag}:` };
}

async function openedSpares(options: Partial<SparesOptions>, changed = (sandbox: Sandbox) => sandbox) {
  const { trial, token } = await opened({ isWarm: false });
  const { sandbox } = trial.choice;
  if (sandbox === null) throw new Error("there is no sandbox");
  const parent = join(trial.dataDir, "ready");
  const spares = new Spares({
    sandbox: changed(sandbox),
    command: usualCommand,
    limits: trialLimits,
    parent,
    ...options,
  });
  whenFileEnds(() => spares.close());
  return { spares, made: () => readdirSync(parent), token, trial };
}

async function standing(spares: Spares): Promise<string> {
  spares.want();
  return await present(() => spares.take());
}

/** The directory of the next one that stands. */
function taken(trial: Trial): Promise<string> {
  return present(() => trial.runner.takeDirectory());
}

async function present(take: () => string | null): Promise<string> {
  const found: string[] = [];
  await until("a sandbox stands", () => found.push(...[take()].filter((one) => one !== null)) > 0);
  return found[0] ?? "";
}

async function filled(trial: Trial, files: Record<string, string>): Promise<string> {
  const directory = await taken(trial);
  expect(existsSync(directory)).toBe(true);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
  return directory;
}

async function alive(token: string): Promise<number[]> {
  return (await processesTagged(token)).filter(isAlive);
}

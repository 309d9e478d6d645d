import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBackstop } from "../../src/runners/sandbox/backstop.ts";
import { createBwrapDriver } from "../../src/runners/sandbox/bwrap.ts";
import { openMachine } from "../../src/runners/sandbox/machine.ts";
import { isAlive } from "../../src/runners/sandbox/processes.ts";
import { whenFileEnds } from "../support/ending.ts";
import { trialLimits } from "../support/script-limits.ts";
import {
  hasBwrap,
  makeDataDir,
  makePayload,
  openTrial,
  processesMarked,
  removeHostile,
} from "../support/script-trial.ts";
import { until } from "../support/until.ts";

const lookEveryS = 0.1;
const token = "backstop-trial";
const bwrap = Bun.which("bwrap");

describe("the backstop", () => {
  test("kills what is not over in time, and nothing else", async () => {
    const backstop = open();
    const late = sleeper();
    const inTime = sleeper();
    const sameNumber = sleeper();
    const notHeld = sleeper();
    backstop.hold(inTime.pid, token, 600);
    backstop.hold(sameNumber.pid, `${token}0`, 0);
    backstop.hold(late.pid, token, 0);
    await late.exited;
    expect(late.signalCode).toBe("SIGKILL");
    expect([inTime, sameNumber, notHeld].map(({ pid }) => isAlive(pid))).toEqual([true, true, true]);
    end(inTime, sameNumber, notHeld);
  });

  test("does so for more runs than it keeps lines for, and after many that ended", async () => {
    const backstop = open();
    const early = sleeper();
    backstop.hold(early.pid, token, 1);
    const passing = sleeper();
    for (let run = 0; run < 500; run++) {
      backstop.hold(passing.pid, token, 600);
      backstop.letGo(passing.pid);
    }
    await early.exited;
    expect(early.signalCode).toBe("SIGKILL");
    expect(isAlive(passing.pid)).toBe(true);
    end(passing);
  });

  test("is there again after somebody ended it", async () => {
    const directory = scratch();
    const backstop = open(directory);
    const late = sleeper();
    backstop.hold(late.pid, token, 3);
    await until("it watches", () => keepersOf(directory).length === 1);
    for (const pid of keepersOf(directory)) process.kill(pid, "SIGKILL");
    await late.exited;
    expect(late.signalCode).toBe("SIGKILL");
  });

  test("ends when it is closed, and with its server", async () => {
    const directory = scratch();
    const source = join(import.meta.dir, "../../src/runners/sandbox/backstop.ts");
    const program = `const { createBackstop } = await import(${JSON.stringify(source)});
      createBackstop(${JSON.stringify(directory)}).hold(process.pid, "none", 600); setInterval(() => {}, 1000);`;
    const server = Bun.spawn(["bun", "-e", program]);
    await until("it watches", () => keepersOf(directory).length === 1);
    server.kill("SIGKILL");
    await until("it ended", () => keepersOf(directory).length === 0);
    const backstop = open(directory);
    backstop.hold(process.pid, token, 600);
    await until("the next one watches", () => keepersOf(directory).length === 1);
    await backstop.close();
    expect(keepersOf(directory)).toEqual([]);
  });
});

describe.skipIf(!hasBwrap)("a run under bubblewrap", () => {
  test("ends although its supervisor hangs", async () => {
    const dataDir = makeDataDir();
    const machine = await openMachine(`hanging-${process.pid}`, dataDir);
    const backstop = open();
    whenFileEnds(async () => {
      await machine.close();
      removeHostile(dataDir);
    });
    const asked: number[] = [];
    const early = {
      ...backstop,
      hold: (pid: number, token: string, afterS: number) => backstop.hold(pid, token, asked.push(afterS)),
    };
    const driver = createBwrapDriver({
      ...{ bwrap: bwrap ?? "", tag: `hanging-${process.pid}`, otherTasks: { areNone: true, count: () => 0 } },
      machine: { ...machine, backstop: early },
    });
    const mark = `hanging-${process.pid}`;
    const directory = makePayload(dataDir, { program: "clinging-tree.sh", files: { mark } });
    const descriptor = openSync("/dev/null", "r+");
    const run = driver.start({
      ...{ runId: "hanging", directory, limits: trialLimits, identity: null, environment: {}, readOnly: [] },
      ...{ command: ["bash", "run.sh"], cgroup: null, cgroupEntry: null },
      ...{ stdin: descriptor, stdout: descriptor, stderr: descriptor },
    });
    closeSync(descriptor);
    await run.ready;
    run.go();
    hangUntil(() => processesMarked(mark).length > 0);
    hangUntil(() => processesMarked(mark).length === 0);
    expect(processesMarked(mark)).toEqual([]);
    expect(await run.exited).toMatchObject({ signal: "SIGKILL", endedItself: false });
    expect(asked).toEqual([trialLimits.wallS + 45]);
  });

  test("has no process of ours above its own but the first, and no signal turned off", async () => {
    const trial = await openTrial();
    const text = `set -- /proc/[0-9]*; echo $#; echo $PPID; grep -E '^Sig(Blk|Ign):' /proc/self/status`;
    const { output } = await trial.run({ text });
    expect(output).toBe("2\n1\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  });

  test("that signals its own process group is not taken for one that is stopped", async () => {
    const trial = await openTrial();
    const text = `mkfifo up; setsid sh -c 'echo > up; exec sleep 1000' & read -r < up; trap 'exit 3' TERM; kill 0; sleep 1000`;
    const { outcome, facts } = await trial.run({ text });
    expect([outcome.kind, facts.exitCode]).toEqual(["failed", 3]);
  });
});

/** Holds the event loop, as a supervisor that hangs would, until it is so or a minute has passed. */
function hangUntil(isSo: () => boolean): void {
  const deadline = performance.now() + 60_000;
  while (!isSo() && performance.now() < deadline) Bun.sleepSync(20);
}

function open(directory = scratch()) {
  const backstop = createBackstop(directory, lookEveryS);
  whenFileEnds(backstop.close);
  return backstop;
}

function keepersOf(directory: string): number[] {
  return processesMarked("backstop\0").filter((pid) => cwdOf(pid) === directory);
}

function cwdOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    // It ended between two looks.
    return "";
  }
}

/** Waits for a line that nobody writes. */
function sleeper(): Bun.Subprocess {
  return Bun.spawn(["sh", "-c", "read -r line", token], { stdin: "pipe" });
}

function end(...children: Bun.Subprocess[]): void {
  for (const child of children) child.kill("SIGKILL");
}

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-backstop-"));
  whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

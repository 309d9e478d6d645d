import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createAccounts } from "../../src/runners/sandbox/accounts.ts";
import { bwrapArguments } from "../../src/runners/sandbox/bwrap-arguments.ts";
import { findCgroups } from "../../src/runners/sandbox/cgroups.ts";
import { isReachable, openWay } from "../../src/runners/sandbox/reachable.ts";
import { runCgroup } from "../../src/runners/sandbox/run-cgroup.ts";
import { seccompProgram } from "../../src/runners/sandbox/seccomp.ts";
import { graceMsFor } from "../../src/runners/sandbox/stopping.ts";
import { whenFileEnds } from "../support/ending.ts";
import { hasBwrap, isRoot, makeDataDir, makePayload, removeHostile } from "../support/script-trial.ts";

describe("a control group", () => {
  // Directories stand in for the kernel's here: this shows what is written to them and read from them, not that it holds.
  test("of version 2 bounds the memory of its run, and tells what the kernel did", () => {
    const directory = join(scratch(), "run-1");
    const group = runCgroup(directory, 2, { memoryMb: 64, processes: 8 });
    writeFileSync(join(directory, "memory.events"), "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n");
    writeFileSync(join(directory, "memory.peak"), "33554432\n");
    expect(readFileSync(join(directory, "memory.max"), "utf8")).toBe(String(64 * 1_048_576));
    expect([group?.outOfMemoryKills(), group?.peakMb()]).toEqual([2, 32]);
  });

  test("is done without where no hierarchy is ours", () => {
    const root = scratch();
    writeFileSync(join(root, "own"), "0::/service\n");
    expect(findCgroups("test", { mounted: join(root, "nowhere"), own: join(root, "own") })).toBeNull();
    expect(findCgroups("test", { mounted: root, own: join(root, "nothing") })).toBeNull();
    expect(runCgroup(join(root, "no", "parent"), 1, { memoryMb: 64, processes: 8 })).toBeNull();
  });

  test.skipIf(!isRoot || !hasCgroups())("is named for its run and removed when empty", () => {
    const groups = findCgroups(`machine-${process.pid}`);
    const run = groups?.open("run-1", { memoryMb: 64, processes: 8 });
    const directory = run?.directory ?? "";
    expect(existsSync(directory)).toBe(true);
    expect(run?.outOfMemoryKills()).toBe(0);
    expect(run?.remove()).toBe(true);
    groups?.close();
    expect(existsSync(dirname(directory))).toBe(false);
  });
});

describe("the seccomp program", () => {
  test.each(["x64", "arm64"] as const)("for %s jumps within itself and ends on every path", (architecture) => {
    const program = decode(seccompProgram(architecture));
    program.forEach(({ code, jumpTrue, jumpFalse }, at) => {
      if ((code & 0x07) === 0x05) expect(at + 1 + Math.max(jumpTrue, jumpFalse)).toBeLessThan(program.length);
    });
    expect(program.at(-1)).toMatchObject({ code: 0x06, value: 0x7fff0000 });
    expect(program.length).toBeGreaterThan(100);
  });

  test("kills what comes from another architecture, and refuses sockets of other families", () => {
    const [load, compare, kill] = decode(seccompProgram("x64"));
    expect(load).toMatchObject({ code: 0x20, value: 4 });
    expect(compare).toMatchObject({ code: 0x15, value: 0xc000003e });
    expect(kill).toMatchObject({ code: 0x06, value: 0x80000000 });
    expect(runFilter(seccompProgram("x64"), { number: 41, argument0: 40 })).toBe(0x00050061);
    expect(runFilter(seccompProgram("x64"), { number: 41, argument0: 1 })).toBe(0x7fff0000);
    expect(runFilter(seccompProgram("arm64"), { number: 198, argument0: 16 })).toBe(0x00050061);
    expect(runFilter(seccompProgram("arm64"), { number: 220, argument0: 0x10000000 })).toBe(0x00050001);
    expect(runFilter(seccompProgram("arm64"), { number: 220, argument0: 17 })).toBe(0x7fff0000);
    expect(runFilter(seccompProgram("arm64"), { number: 64, argument0: 1 })).toBe(0x7fff0000);
  });
});

describe("the account of a run", () => {
  const range = { first: 5_000, count: 3 };

  test("is its own as long as there is a free one, and its payload's when it had one", () => {
    const accounts = createAccounts(range);
    const three = [accounts.take(null), accounts.take(null), accounts.take(null)];
    expect(new Set(three.map(({ uid }) => uid)).size).toBe(3);
    expect(three.every(({ exclusive }) => exclusive)).toBe(true);
    const shared = accounts.take(three[0]?.uid ?? 0);
    expect(shared).toMatchObject({ uid: three[0]?.uid, exclusive: false });
    for (const account of [...three, shared]) accounts.give(account);
    expect(accounts.take(5_001)).toEqual({ uid: 5_001, gid: 5_001, exclusive: true });
    expect([accounts.owns(5_002), accounts.owns(5_003), accounts.owns(0)]).toEqual([true, false, false]);
  });
});

describe("the way to a payload", () => {
  test("is opened for passing through, and only below the data directory", () => {
    const root = scratch();
    const dataDir = join(root, "data");
    const payloads = join(dataDir, "payloads");
    mkdirSync(payloads, { recursive: true });
    for (const path of [root, dataDir, payloads]) chmodSync(path, 0o700);
    openWay(dataDir, payloads);
    const modes = [root, dataDir, payloads].map((path) => statSync(path).mode & 0o777);
    expect(modes).toEqual([0o700, 0o701, 0o701]);
    expect(isReachable(payloads)).toBe(false);
    chmodSync(root, 0o711);
    expect(isReachable(payloads)).toBe(isReachable(tmpdir()));
  });
});

test("the time between TERM and KILL is short for a run that is not ours any more, and none for one that broke a limit", () => {
  expect(graceMsFor("cancelled", 5_000)).toBe(5_000);
  expect(graceMsFor({ code: "timed_out", message: "" }, 5_000)).toBe(5_000);
  expect(graceMsFor("fenced", 5_000)).toBe(250);
  expect(graceMsFor({ code: "out_of_memory", message: "" }, 5_000)).toBe(0);
});

test("bubblewrap is never given a host account, and the network only when it is granted", () => {
  const view = { bwrap: "bwrap", directory: "/data/1", environment: { A: "b" }, readOnly: ["/opt"], temporaryMb: 16 };
  const numbers = { seccomp: 5, etc: { passwd: 6, group: 7 } };
  const closed = bwrapArguments({ ...view, ...numbers, network: false });
  const open = bwrapArguments({ ...view, ...numbers, network: true });
  expect(closed).not.toContain("--share-net");
  expect(closed).not.toContain("/etc/resolv.conf");
  expect(open).toContain("--share-net");
  expect(open).toContain("/etc/resolv.conf");
  expect(closed.join(" ")).toContain("--clearenv --setenv HOME /work");
  expect(closed.join(" ")).toContain("--ro-bind-try /opt /opt");
  expect(closed).not.toContain("/etc");
});

test.skipIf(!isRoot || !hasBwrap || !isReachable(import.meta.dir))(
  "an ordinary user's server isolates scripts as well",
  async () => {
    const dataDir = makeDataDir();
    whenFileEnds(async () => removeHostile(dataDir));
    const directory = makePayload(dataDir, { text: "id -u; touch made && ls; unshare --user true || echo refused" });
    const account = 65_534;
    Bun.spawnSync(["chown", "-R", String(account), dataDir]);
    const server = Bun.spawn(
      ["bun", join(import.meta.dir, "../support/script-server.ts"), "bwrap", "ordinary", dataDir],
      {
        ...{ stdio: ["pipe", "pipe", "inherit"], uid: account, gid: account },
        env: { PATH: process.env.PATH, HOME: dataDir },
      },
    );
    server.stdin.write(`${directory}\n`);
    server.stdin.flush();
    let said = "";
    for await (const chunk of server.stdout) {
      said += new TextDecoder().decode(chunk);
      if (said.includes("refused")) break;
    }
    server.kill("SIGKILL");
    await server.exited;
    expect(said).toContain("1000\nmade\nrun.sh\n");
    expect(statSync(join(directory, "made")).uid).toBe(account);
  },
);

function hasCgroups(): boolean {
  const found = findCgroups("probe");
  found?.close();
  return found !== null;
}

type Instruction = { code: number; jumpTrue: number; jumpFalse: number; value: number };

function decode(program: Uint8Array): Instruction[] {
  const view = new DataView(program.buffer);
  return Array.from({ length: program.length / 8 }, (_, at) => ({
    code: view.getUint16(at * 8, true),
    jumpTrue: view.getUint8(at * 8 + 2),
    jumpFalse: view.getUint8(at * 8 + 3),
    value: view.getUint32(at * 8 + 4, true),
  }));
}

/** What the filter answers to a call: the few instructions it is made of, carried out. */
function runFilter(program: Uint8Array, call: { number: number; argument0: number }): number {
  const instructions = decode(program);
  const architecture = instructions[1]?.value ?? 0;
  const data = new Map([
    [0, call.number],
    [4, architecture],
    [16, call.argument0],
    [24, 0],
  ]);
  let held = 0;
  for (let at = 0; ; at++) {
    const { code, jumpTrue, jumpFalse, value } = instructions[at] ?? {
      code: 0x06,
      jumpTrue: 0,
      jumpFalse: 0,
      value: -1,
    };
    if (code === 0x06) return value;
    if (code === 0x20) held = data.get(value) ?? 0;
    else at += holds(code, held, value) ? jumpTrue : jumpFalse;
  }
}

function holds(code: number, held: number, value: number): boolean {
  if (code === 0x15) return held === value;
  return code === 0x35 ? held >= value : (held & value) !== 0;
}

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-machine-"));
  whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

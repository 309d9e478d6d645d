import { describe, expect, test } from "bun:test";
import { readEach, sharedScan } from "../../src/runners/sandbox/process-scan.ts";
import { descendantsOf, onlyChildOf, processesOf, processesTagged } from "../../src/runners/sandbox/processes.ts";
import { tokenVariable } from "../../src/runners/sandbox/tag.ts";
import { until } from "../support/until.ts";

const tree = `sh -c 'sleep 60 & echo up; wait' & wait`;

describe("the processes of the machine", () => {
  test("are found by their parents, their tokens and their account", async () => {
    const token = `fairlead-run:processes-${process.pid}:one`;
    const child = await startTree({ [tokenVariable]: token });
    const below = await descendantsOf(child.pid);
    expect(below).toHaveLength(2);
    expect(await onlyChildOf(child.pid)).toBe(below[0] ?? 0);
    expect((await processesTagged(token)).toSorted()).toEqual([child.pid, ...below].toSorted());
    expect(await processesOf(process.getuid?.() ?? 0)).toEqual(expect.arrayContaining([process.pid, ...below]));
    await end(child, below);
    expect(await descendantsOf(child.pid)).toEqual([]);
    expect(await onlyChildOf(child.pid)).toBeNull();
  });

  test("cannot hide behind a token that they made up", async () => {
    const token = `fairlead-run:decoy-${process.pid}:one`;
    const decoy = Bun.spawn(["sh", "-c", "sleep 60; true", "fairlead-run:other:two"], {
      env: { [tokenVariable]: token },
    });
    expect(await processesTagged(token)).toContain(decoy.pid);
    await end(decoy, await descendantsOf(decoy.pid));
  });
});

describe("a shared scan", () => {
  test("serves everyone who asks before it begins, and nobody who asks later", async () => {
    const counted = countedScan();
    const first = [counted.ask("now"), counted.ask("now"), counted.ask("now")];
    await until("the scan has begun", () => counted.begun() === 1, { everyMs: 0 });
    const second = [counted.ask("now"), counted.ask("now")];
    counted.finishOne();
    expect(await Promise.all(first)).toEqual([1, 1, 1]);
    await until("the next has begun", () => counted.begun() === 2, { everyMs: 0 });
    counted.finishOne();
    expect(await Promise.all(second)).toEqual([2, 2]);
  });

  test("that is a moment old serves those who only measure", async () => {
    let scans = 0;
    const ask = sharedScan(async () => ++scans);
    expect([await ask("now"), await ask("lately"), await ask("now")]).toEqual([1, 1, 2]);
  });

  test("goes on after one that failed", async () => {
    let scans = 0;
    const ask = sharedScan(async () => {
      if (++scans === 1) throw new Error("no /proc");
      return scans;
    });
    expect(await Promise.allSettled([ask("now")])).toMatchObject([{ status: "rejected" }]);
    expect(await ask("now")).toBe(2);
  });

  test("reads what is born while it reads", async () => {
    let born: Bun.Subprocess | null = null;
    const found = await readEach((pid) => {
      born ??= Bun.spawn(["sleep", "60"]);
      return pid;
    });
    const { pid } = born ?? { pid: 0 };
    expect(found.has(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
  });
});

async function startTree(env: Record<string, string>) {
  const child = Bun.spawn(["sh", "-c", tree], { env: { PATH: process.env.PATH ?? "", ...env }, stdout: "pipe" });
  await child.stdout.getReader().read();
  return child;
}

async function end(child: Bun.Subprocess, below: number[]): Promise<void> {
  for (const pid of [child.pid, ...below]) process.kill(pid, "SIGKILL");
  await child.exited;
}

/** Gives the number of the scan that served it. */
function countedScan() {
  const open: (() => void)[] = [];
  let begun = 0;
  const ask = sharedScan(async () => {
    const number = ++begun;
    await new Promise<void>((resolve) => open.push(resolve));
    return number;
  });
  return { ask, begun: () => begun, finishOne: () => open.shift()?.() };
}

import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { fixedLimits, type SandboxRun } from "./driver.ts";
import { type Prepared, prepareRun, type Setting } from "./prepare.ts";
import type { RunCgroup } from "./run-cgroup.ts";
import type { Sandbox } from "./sandbox.ts";
import { within } from "./within.ts";

/** A sandbox that comes up or stands, in which nothing of the user's has run. Whoever has it carries it through, or drops it. */
export type Raised = {
  readonly sandbox: Sandbox;
  readonly setting: Setting;
  readonly prepared: Prepared;
  readonly run: SandboxRun;
  /** True when it stands and waits to be told; false when it did not come up. Never rejects. */
  readonly isUp: Promise<boolean>;
};

/** A sandbox has so long to come up. */
export const readyMs = 30_000;

/** Brings up a sandbox. Rejects when it cannot even be begun; nothing is left then. */
export async function raise(sandbox: Sandbox, setting: Setting): Promise<Raised> {
  const prepared = await prepareRun(sandbox, setting);
  try {
    const run = sandbox.driver.start(prepared.spec);
    prepared.release();
    // What nobody waits for yet must not hold up what somebody does.
    if (setting.idleS !== undefined) lowerPriority(run.pid);
    const isUp = comesUp(run, prepared.cgroup).catch(() => false);
    return { sandbox, setting, prepared, run, isUp };
  } catch (fault) {
    await prepared.clear();
    throw fault;
  }
}

/** Removes every trace of one that is not needed. */
export async function drop({ run, prepared }: Raised): Promise<void> {
  try {
    await run.kill();
  } finally {
    await prepared.clear();
  }
}

/** A first process that could move itself is in its group when it is ready. */
async function comesUp(run: SandboxRun, cgroup: RunCgroup | null): Promise<boolean> {
  const outside = cgroup?.entry === null ? cgroup : null;
  const joining = outside?.join(run.pid);
  const isReady = await within(readyMs, run.ready);
  const hasJoined = await joining;
  const waiting = await run.waiting();
  if (isReady !== true || hasJoined === false || waiting === null) return false;
  lowerPriority(waiting);
  return waiting === run.pid || (await outside?.join(waiting)) !== false;
}

/** Everything the command starts inherits both; a kernel with autogroups weighs sessions, and the other only within one. */
function lowerPriority(pid: number): void {
  try {
    setPriority(pid, fixedLimits.niceness);
    writeFileSync(`/proc/${pid}/autogroup`, String(fixedLimits.niceness));
  } catch {
    // It ended already, as its exit will say, or the kernel has no autogroups.
  }
}

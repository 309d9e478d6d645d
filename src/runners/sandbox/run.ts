import type { SandboxRun } from "./driver.ts";
import type { Freshness } from "./process-scan.ts";
import { isAlive, signalProcess } from "./processes.ts";
import type { Spawned } from "./spawn.ts";

const verifyPauseMs = 2;
const verifyPauseMaxMs = 50;
const verifyDeadlineMs = 5_000;

/** Where the processes of a run are found. `find` may name dead ones; the first process itself is added by the caller. */
export type Membership = {
  find(freshness: Freshness): Promise<number[]>;
  waiting(): Promise<number | null>;
  /** What asks a process to end; null for a wrapper of ours that must not end before what it waits for. */
  politely(pid: number): NodeJS.Signals | null;
};

/** The part of a run that is the same under every driver: stop politely, kill, and look until nothing is left. */
export function sandboxRun(spawned: Spawned, members: Membership): SandboxRun {
  const living = async (freshness: Freshness) => (await members.find(freshness)).filter(isAlive);
  return {
    pid: spawned.pid,
    ready: spawned.ready,
    exited: spawned.exited,
    hasExited: spawned.hasExited,
    waiting: async () => (spawned.hasExited() ? null : await members.waiting()),
    go: spawned.go,
    processes: living,
    terminate: async () => {
      for (const pid of await living("now")) {
        const name = members.politely(pid);
        if (name !== null) signalProcess(pid, name);
      }
    },
    kill: async () => {
      spawned.forbid();
      await killOnce(spawned, members);
      spawned.release();
      return await killUntilGone(spawned, members);
    },
    abandon: () => {
      spawned.forbid();
      killFirst(spawned);
      spawned.release();
    },
  };
}

/**
 * Freeze from the top, kill from the collected list, the first process last: it must not end while a child of its
 * set-up phase has not yet asked to die with it (bubblewrap issue 633).
 */
async function killOnce(spawned: Spawned, members: Membership): Promise<void> {
  if (!spawned.hasExited()) signalProcess(spawned.pid, "SIGSTOP");
  const found = (await members.find("now")).filter((pid) => pid !== spawned.pid);
  for (const pid of found) signalProcess(pid, "SIGSTOP");
  for (const pid of await members.find("now")) if (pid !== spawned.pid) signalProcess(pid, "SIGKILL");
  killFirst(spawned);
}

/** Its number may belong to another process once it has been collected. */
function killFirst(spawned: Spawned): void {
  if (spawned.hasExited()) return;
  signalProcess(-spawned.pid, "SIGKILL");
  signalProcess(spawned.pid, "SIGKILL");
}

async function killUntilGone(spawned: Spawned, members: Membership): Promise<number> {
  const deadline = performance.now() + verifyDeadlineMs;
  for (let pauseMs = verifyPauseMs; ; pauseMs = Math.min(pauseMs * 2, verifyPauseMaxMs)) {
    const left = (await members.find("now")).filter(isAlive);
    if (left.length === 0 && spawned.hasExited()) return 0;
    if (performance.now() > deadline) return left.length + (spawned.hasExited() ? 0 : 1);
    for (const pid of left) signalProcess(pid, "SIGKILL");
    await Bun.sleep(pauseMs);
  }
}

import { readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedError } from "./embeddedFaults.ts";

/** What Postgres wrote about itself in `postmaster.pid`. It may have died since. */
export type Postmaster = { pid: number; socketDir: string; isReady: boolean };

const pollMs = 5;
const forcedPatienceMs = 5_000;

export function readPostmaster(clusterDir: string): Postmaster | null {
  const lines = readLines(join(clusterDir, "postmaster.pid"));
  const pid = Number(lines?.[0]);
  if (!lines || !Number.isSafeInteger(pid) || pid <= 0) return null;
  return { pid, socketDir: lines[4]?.trim() ?? "", isReady: lines[7]?.trim() === "ready" };
}

/**
 * What has the process number in the file: the Postgres of this cluster, no process, or an `other` one: the number was
 * given away after a restart of the machine, or belongs to a zombie. Postgres cannot tell and would refuse to start.
 */
export function inspect(pid: number, clusterDir: string): "postmaster" | "nothing" | "other" {
  if (!exists(pid)) return "nothing";
  if (!isRunning(pid)) return "other";
  if (process.platform !== "linux") return psShowsPostgres(pid) ? "postmaster" : "other";
  const owner = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
  if (owner !== statSync(clusterDir).uid) return "other";
  const directory = workingDirectory(pid);
  // One that is ending has no directory any more; whoever waits for it sees it go.
  return directory === null || directory === realpathSync(clusterDir) ? "postmaster" : "other";
}

/**
 * Clears what a Postgres that is gone left: its last children, which end by themselves when they notice, unless they
 * are busy, and then its file, which may name somebody else's process by now. A next one must find neither.
 */
export async function clearRemains(clusterDir: string): Promise<void> {
  const directory = realpathSync(clusterDir);
  if (!(await areGone(directory))) {
    for (const pid of childrenIn(directory)) process.kill(pid, "SIGKILL");
    if (!(await areGone(directory))) throw new EmbeddedError(`processes that cannot be ended still use ${directory}`);
  }
  rmSync(join(directory, "postmaster.pid"), { force: true });
}

/** Fast shutdown: transactions are rolled back, the log is flushed. Harder signals when it takes longer than `patienceMs`. */
export async function stopPostmaster(pid: number, patienceMs: number): Promise<"clean" | "forced"> {
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    if (isRunning(pid)) process.kill(pid, signal);
    const isClean = signal === "SIGINT";
    if (await isGone(pid, isClean ? patienceMs : forcedPatienceMs)) return isClean ? "clean" : "forced";
  }
  throw new Error(`Postgres (process ${pid}) does not end, not even by SIGKILL: its disk may hang`);
}

async function isGone(pid: number, waitMs: number): Promise<boolean> {
  for (const deadline = Date.now() + waitMs; isRunning(pid); await Bun.sleep(pollMs)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}

/** A zombie, which nobody may ever collect in a container, does not run. */
export function isRunning(pid: number): boolean {
  if (!exists(pid)) return false;
  const state = readLines(`/proc/${pid}/stat`)?.[0];
  return state === undefined || state[state.lastIndexOf(")") + 2] !== "Z";
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (fault) {
    return codeOf(fault) === "EPERM";
  }
}

async function areGone(directory: string): Promise<boolean> {
  for (const deadline = Date.now() + forcedPatienceMs; childrenIn(directory).length > 0; await Bun.sleep(pollMs)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}

function childrenIn(directory: string): number[] {
  if (process.platform !== "linux") return [];
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => workingDirectory(pid) === directory);
}

/** Null when the process has none any more, or is somebody else's. */
function workingDirectory(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch (fault) {
    if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(codeOf(fault))) return null;
    throw fault;
  }
}

function psShowsPostgres(pid: number): boolean {
  return Bun.spawnSync(["ps", "-o", "command=", "-p", String(pid)])
    .stdout.toString()
    .includes("postgres");
}

function readLines(path: string): string[] | null {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch (fault) {
    if (["ENOENT", "ESRCH"].includes(codeOf(fault))) return null;
    throw fault;
  }
}

function codeOf(fault: unknown): string {
  return fault instanceof Error && "code" in fault ? String(fault.code) : "";
}

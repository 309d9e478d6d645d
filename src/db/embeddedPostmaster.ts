import { readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedError } from "./embeddedFaults.ts";

/** What Postgres wrote about itself in `postmaster.pid`. It may have died since. */
export type Postmaster = { pid: number; socketDir: string; isReady: boolean };

const pollMs = 5;
const forcedPatienceMs = 5_000;

export function readPostmaster(clusterDir: string): Postmaster | null {
  const lines = readLines(pidFile(clusterDir));
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
 * Removes the file of a Postgres that is gone. Its last children may still be writing; with the file, the next one
 * would notice them by itself, so without it they must have ended first.
 */
export async function removePidFile(clusterDir: string): Promise<void> {
  const directory = realpathSync(clusterDir);
  for (const deadline = Date.now() + forcedPatienceMs; childrenIn(directory) > 0; await Bun.sleep(pollMs)) {
    if (Date.now() > deadline) {
      throw new EmbeddedError(
        `processes of a Postgres that is gone still use ${directory}: end them, then start again`,
      );
    }
  }
  rmSync(pidFile(clusterDir), { force: true });
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
function isRunning(pid: number): boolean {
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

function childrenIn(directory: string): number {
  if (process.platform !== "linux") return 0;
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => workingDirectory(Number(pid)) === directory).length;
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

function pidFile(clusterDir: string): string {
  return join(clusterDir, "postmaster.pid");
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

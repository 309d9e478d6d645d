import { readFileSync, readlinkSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

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
 * Whether the process that the file names is a Postgres of this cluster. A dead one does not hinder the next start. A
 * stranger, to whom the number was given after a restart of the machine, would: then remove the file.
 */
export function inspect(pid: number, clusterDir: string): "postmaster" | "stranger" | "dead" {
  if (!isRunning(pid)) return "dead";
  if (process.platform !== "linux") return psShowsPostgres(pid) ? "postmaster" : "stranger";
  const owner = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
  if (owner !== statSync(clusterDir).uid) return "stranger";
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(clusterDir) ? "postmaster" : "stranger";
  } catch (fault) {
    if (isRunning(pid)) throw fault;
    return "dead";
  }
}

export function removePidFile(clusterDir: string): void {
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
  try {
    process.kill(pid, 0);
  } catch (fault) {
    return fault instanceof Error && "code" in fault && fault.code === "EPERM";
  }
  const state = readLines(`/proc/${pid}/stat`)?.[0];
  return state === undefined || state[state.lastIndexOf(")") + 2] !== "Z";
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
    if (fault instanceof Error && "code" in fault && (fault.code === "ENOENT" || fault.code === "ESRCH")) return null;
    throw fault;
  }
}

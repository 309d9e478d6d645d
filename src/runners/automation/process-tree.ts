import { descendantsOf, isAlive, processesTagged, readProc, signalProcess } from "../sandbox/processes.ts";

const roundsMax = 80;
const roundMs = 25;
const pageBytes = 4_096;

/**
 * Kills every process that inherited `token` in FAIRLEAD_RUN, with everything below it, Chromium's own sessions
 * included, and looks until nothing is left. Gives what is still alive after two seconds.
 */
export async function killTree(token: string): Promise<number[]> {
  let alive: number[] = [];
  for (let round = 0; round < roundsMax; round += 1) {
    alive = await treeOf(token);
    if (alive.length === 0) return [];
    // Stopped first and looked at again: what is being forked now must not slip away between look and kill.
    for (const pid of alive) signalProcess(pid, "SIGSTOP");
    for (const pid of new Set([...alive, ...(await treeOf(token))])) signalProcess(pid, "SIGKILL");
    await Bun.sleep(roundMs);
  }
  return alive.filter(isAlive);
}

/** MiB that a process and everything below it hold for themselves; 0 where it cannot be known. */
export async function memoryOf(root: number): Promise<number> {
  if (process.platform !== "linux") return 0;
  const bytes = [root, ...(await descendantsOf(root, "lately"))].reduce((sum, pid) => {
    const [, resident = 0, shared = 0] = readProc(`/proc/${pid}/statm`).split(" ").map(Number);
    return sum + (resident - shared) * pageBytes;
  }, 0);
  return Math.round(bytes / 1_048_576);
}

/** By token, not by number: a number may belong to somebody else by now. */
async function treeOf(token: string): Promise<number[]> {
  // Without /proc only the child itself can be ended, and Chromium ends when its pipe closes.
  if (process.platform !== "linux") return [];
  const tagged = await processesTagged(token);
  const below = await Promise.all(tagged.map((pid) => descendantsOf(pid)));
  return [...new Set([...tagged, ...below.flat()])].filter(isAlive);
}

import { findCgroups } from "./cgroups.ts";
import { isAlive, processesTagged, signalProcess } from "./processes.ts";
import { serverToken } from "./tag.ts";

const pauseMs = 5;
const deadlineMs = 10_000;

/**
 * Kills what runs of an earlier server with this tag left alive, when that server was killed itself. Call it at the
 * start, before any run, and only when no other server with the same tag is alive. Resolves with how many it killed.
 */
export async function sweepLeftovers(tag: string): Promise<number> {
  const cgroups = findCgroups(tag);
  const killed = new Set<number>();
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const found = [...(await processesTagged(serverToken(tag))), ...(cgroups?.leftovers() ?? [])].filter(isAlive);
    if (found.length === 0 || performance.now() > deadline) break;
    for (const pid of found) if (signalProcess(pid, "SIGKILL")) killed.add(pid);
    await Bun.sleep(pauseMs);
  }
  cgroups?.close();
  return killed.size;
}

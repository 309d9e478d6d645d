import { readdirSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

/** `now`: begun after it was asked for. `lately`: may be a moment old, which is enough to measure by. */
export type Freshness = "now" | "lately";

/** A look at every process of the machine that all who ask at the same time share. */
export type ProcessScan<T> = (freshness: Freshness) => Promise<T>;

const latelyMs = 100;
/** Between two pieces of a scan of this length the event loop has its turn. */
const pieceMs = 2;
/** A fork bomb may not keep a scan going for ever. */
const roundsMax = 20;

/** Many runs that are killed at once would each read the whole of /proc, again and again: they read it together. */
export function sharedScan<T>(scan: () => Promise<T>): ProcessScan<T> {
  let waiting: Promise<T> | null = null;
  let last: { at: number; scanned: Promise<T> } | null = null;
  const next = async (earlier: Promise<unknown> | undefined) => {
    await Promise.allSettled([earlier]);
    // Whoever asks until it begins is served by it.
    await setImmediate();
    waiting = null;
    const scanned = scan();
    last = { at: performance.now(), scanned };
    return await scanned;
  };
  return (freshness) => {
    if (freshness === "lately" && last !== null && performance.now() - last.at < latelyMs) return last.scanned;
    waiting ??= next(last?.scanned);
    return waiting;
  };
}

/**
 * What `read` gives for each process, null left out. It must not throw. Those that were born meanwhile are read too:
 * a parent may have ended before its turn came.
 */
export async function readEach<T>(read: (pid: number) => T | null): Promise<Map<number, T>> {
  const seen = new Set<number>();
  const found = new Map<number, T>();
  let pieceFrom = performance.now();
  for (let round = 0; round < roundsMax; round++) {
    const born = processIds().filter((pid) => !seen.has(pid));
    if (born.length === 0) break;
    for (const pid of born) {
      seen.add(pid);
      const value = read(pid);
      if (value !== null) found.set(pid, value);
      if (performance.now() - pieceFrom < pieceMs) continue;
      await setImmediate();
      pieceFrom = performance.now();
    }
  }
  return found;
}

export function processIds(): number[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

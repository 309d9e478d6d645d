import { within } from "../within.ts";

/** A reading that is shared by all who ask, and kept for a while. */
export type Cached<T> = {
  /** The newest reading there is, or one that is made now. Rejects when that failed or takes longer than 3 s. */
  value(): Promise<T>;
  /** How old the newest reading is, in ms; 0 before the first one. */
  ageMs(): number;
};

/** What takes long is read so much less often that it takes a fiftieth of the time. */
const restFactor = 50;
const patienceMs = 3_000;

/** Reads when asked, at most every `keptMs`, and one at a time, however many ask. A failure is kept as long. */
export function createCached<T>(read: () => Promise<T>, keptMs: number): Cached<T> {
  let newest: { reading: Promise<T>; atMs: number; keptUntilMs: number } | null = null;
  const readNow = () => {
    const sinceMs = performance.now();
    const reading = read();
    const entry = { reading, atMs: sinceMs, keptUntilMs: Number.POSITIVE_INFINITY };
    const done = () => {
      entry.atMs = performance.now();
      entry.keptUntilMs = entry.atMs + Math.max(keptMs, restFactor * (entry.atMs - sinceMs));
    };
    reading.then(done, done);
    return entry;
  };
  return {
    value: () => {
      if (newest === null || performance.now() >= newest.keptUntilMs) newest = readNow();
      // Whoever asks next finds what comes after all.
      return within(newest.reading, patienceMs);
    },
    ageMs: () => (newest === null ? 0 : performance.now() - newest.atMs),
  };
}

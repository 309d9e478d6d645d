import type { Engine } from "./context.ts";
import { eventsAfter } from "./events.ts";
import type { JobEvent } from "./hub.ts";

type Reading = { current: Promise<JobEvent[]>; next: Promise<JobEvent[]> | null };

const rowsMax = 50;
/** What a page holds of events beyond its first: readers that stand still keep a page each. */
const pageCharsMax = 131_072;
const readings = new WeakMap<Engine, Map<string, Reading>>();

/**
 * The next page of a job's events for one of many readers. Those that stand at the same place share a statement and the events it
 * brings. One that comes while a statement is under way gets the next one's answer: the present one may have looked too early for it.
 */
export function readPage(engine: Engine, jobId: string, after: number): Promise<JobEvent[]> {
  const shared = readings.get(engine) ?? new Map<string, Reading>();
  readings.set(engine, shared);
  const key = `${after}:${jobId}`;
  const read = async () => firstOf(await eventsAfter(engine.db.sql, jobId, after, rowsMax));
  const under = shared.get(key);
  if (under !== undefined) {
    under.next ??= under.current.then(read, read);
    return under.next;
  }
  const reading: Reading = { current: read(), next: null };
  shared.set(key, reading);
  void settle(shared, key, reading);
  return reading.current;
}

/** Moves on to the next statement, if somebody waits for one. */
async function settle(shared: Map<string, Reading>, key: string, reading: Reading): Promise<void> {
  for (;;) {
    await reading.current.catch(() => {
      // Whoever asked for it hears of it.
    });
    if (reading.next === null) break;
    reading.current = reading.next;
    reading.next = null;
  }
  shared.delete(key);
}

function firstOf(events: JobEvent[]): JobEvent[] {
  let chars = 0;
  const end = events.findIndex(({ data }) => {
    chars += data.length;
    return chars > pageCharsMax;
  });
  return end === -1 ? events : events.slice(0, Math.max(1, end));
}

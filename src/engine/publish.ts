import type { Engine } from "./context.ts";
import type { Ending } from "./ending.ts";
import type { TimedEvent } from "./history.ts";
import type { JobEvent } from "./hub.ts";

/**
 * Hands committed events, and the job's end when it is one, to whoever on this node waits for them. Events that took the time of their
 * row are read from there: whoever reads them later must see the same.
 */
export function tellSubscribers(
  engine: Engine,
  jobId: string,
  lastSeq: number,
  events: TimedEvent[],
  ended: (Ending & { kind: "final" }) | null,
): void {
  if (engine.hub.hasListeners(jobId)) engine.hub.publish(jobId, numbered(events, lastSeq));
  if (ended !== null) {
    const error = ended.error === null ? null : JSON.stringify(ended.error);
    engine.hub.finished(jobId, { status: ended.status, output: ended.outputJson, error });
  }
}

/** Null when one of them does not know its time. */
function numbered(events: TimedEvent[], lastSeq: number): JobEvent[] | null {
  const first = lastSeq - events.length + 1;
  const known = events.flatMap(({ at, ...event }, offset) =>
    at === undefined ? [] : { seq: first + offset, at, ...event },
  );
  return known.length === events.length ? known : null;
}

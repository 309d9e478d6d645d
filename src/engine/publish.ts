import type { Engine } from "./context.ts";
import type { Ending } from "./ending.ts";
import type { TimedEvent } from "./history.ts";
import type { JobEvent } from "./hub.ts";

/** Hands committed events, and the job's end when it is one, to whoever on this node waits for them. */
export function tellSubscribers(
  engine: Engine,
  jobId: string,
  lastSeq: number,
  events: TimedEvent[],
  at: string,
  ended: (Ending & { kind: "final" }) | null,
): void {
  if (engine.hub.hasListeners(jobId)) engine.hub.publish(jobId, numbered(events, lastSeq, at));
  if (ended !== null) {
    const error = ended.error === null ? null : JSON.stringify(ended.error);
    engine.hub.finished(jobId, { status: ended.status, output: ended.outputJson, error });
  }
}

function numbered(events: TimedEvent[], lastSeq: number, at: string): JobEvent[] {
  const first = lastSeq - events.length + 1;
  return events.map((event, offset) => ({ seq: first + offset, at, ...event }));
}

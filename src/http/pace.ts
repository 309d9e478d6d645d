/** Resolves when the next handful of events may be written. */
export type Pace = () => Promise<void> | null;

const streamsAtOnce = 50;
const msPerStream = 0.05;
const waitMaxMs = 50;

/**
 * With many readers, lets them wait for each other: all of them are written to in one go, a few events at a time,
 * because a write per event and reader would cost more than the machine has (1,000 readers at 100 events/s would be
 * 100,000 system calls a second). Few readers never wait; a thousand wait 50 ms.
 */
export function createPace(openStreams: () => number): Pace {
  let tick: Promise<void> | null = null;
  return () => {
    const count = openStreams();
    if (count <= streamsAtOnce) return null;
    tick ??= Bun.sleep(Math.min(waitMaxMs, count * msPerStream)).then(() => {
      tick = null;
    });
    return tick;
  };
}

// An event loop that is held longer than this shows in other callers' latency.
const sliceMs = 5;

/** Returns a function to await in long loops of synchronous work: it gives the event loop a turn every few milliseconds. */
export function createPause(): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    if (performance.now() - since < sliceMs) return undefined;
    return new Promise((resolve) =>
      setImmediate(() => {
        since = performance.now();
        resolve();
      }),
    );
  };
}

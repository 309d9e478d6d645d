import { brokenOff } from "./patience.ts";

/** A connection that is given up when nothing is heard on it for too long. */
export type Line = { signal: AbortSignal; heard(): void; close(): void };

/** The service sends something every 15 s. */
const silenceMaxMs = 45_000;
const lookEveryMs = 5_000;

/** `signal` gives it up as well. Close it, or it listens for ever. */
export function createLine(signal: AbortSignal | undefined): Line {
  const controller = new AbortController();
  let heardAtMs = Date.now();
  const timer = setInterval(() => {
    if (Date.now() - heardAtMs > silenceMaxMs) controller.abort(brokenOff());
  }, lookEveryMs);
  return {
    signal: signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]),
    heard() {
      heardAtMs = Date.now();
    },
    close() {
      clearInterval(timer);
      controller.abort();
    },
  };
}

import { shownDuration } from "./shown.ts";
import type { Terminal } from "./terminal.ts";

/** Tells that the connection was lost, once for each time. */
export function tellReconnect(terminal: Terminal): (reason: Error, waitMs: number) => void {
  let toldAtMs = 0;
  return (reason, waitMs) => {
    // A service that restarts is tried several times in a row.
    if (Date.now() - toldAtMs > quietMs) terminal.say(`${reason.message}; trying again in ${shownDuration(waitMs)}`);
    toldAtMs = Date.now();
  };
}

const quietMs = 30_000;

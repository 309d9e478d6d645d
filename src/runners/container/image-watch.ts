import { setTimeout as pause } from "node:timers/promises";
import { endReason } from "./image-end.ts";
import type { ImageTimings, RunningImage } from "./image-state.ts";
import { answers } from "./probe.ts";

type Watch = {
  running: RunningImage;
  timings: ImageTimings;
  /** A container that works may be too busy to answer anything else. */
  isBusy: () => boolean;
  signal: AbortSignal;
};

/**
 * Resolves with the reason when a running container ended, or gave no answer several times in a row while nothing was asked of it.
 * Rejects only when `signal` fires. An engine that is away for a while changes nothing: containers outlive it.
 */
export async function watchImage(watch: Watch): Promise<string> {
  const over = new AbortController();
  const signal = AbortSignal.any([watch.signal, over.signal]);
  try {
    return await Promise.race([
      watch.running.end.promise,
      watchEnd({ ...watch, signal }),
      watchHealth({ ...watch, signal }),
    ]);
  } finally {
    over.abort();
  }
}

async function watchEnd({ running, timings, signal }: Watch): Promise<string> {
  for (;;) {
    await running.engine.wait(running.engineId, signal).catch(ignoreAbsence);
    signal.throwIfAborted();
    const reason = await endReason(running).catch(ignoreAbsence);
    if (typeof reason === "string") return reason;
    await pause(timings.probeEveryMs * 10, undefined, { signal });
  }
}

async function watchHealth({ running, timings, isBusy, signal }: Watch): Promise<string> {
  let failures = 0;
  while (failures < timings.watchFailuresMax) {
    await pause(timings.watchEveryMs, undefined, { signal });
    if (isBusy()) continue;
    const isWell = await answers(running.url, signal, timings.watchTimeoutMs);
    failures = isWell || isBusy() ? 0 : failures + 1;
  }
  return `gave no answer to GET /health ${failures} times in a row`;
}

// An engine that is away is asked again; only its own word ends a container.
function ignoreAbsence(_fault: unknown): null {
  return null;
}

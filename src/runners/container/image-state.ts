import type { EngineApi } from "./engine-api.ts";

/** An image that runs and answers. `gone` fires with the reason (a text) when it does not any more; `end` may be told the reason early. */
export type RunningImage = {
  engine: EngineApi;
  engineId: string;
  url: string;
  gone: AbortController;
  end: PromiseWithResolvers<string>;
};

/** What an image is doing. `reason` is why it last ended or could not start; `atMs` is a time of `performance.now()`. */
export type ImageState =
  | { kind: "idle" }
  | { kind: "starting" }
  | { kind: "running"; running: RunningImage }
  | { kind: "waiting"; reason: string }
  | { kind: "failed"; reason: string; atMs: number }
  | { kind: "closed" };

/** How patient the supervision of images is. All in milliseconds except the counts and `stopGraceS`. */
export const imageTimings = {
  /** Between two looks at a starting container, and what one look may take. */
  probeEveryMs: 100,
  probeTimeoutMs: 2_000,
  /** Between two looks at a running one that has nothing to do; a restart follows after `watchFailuresMax` in a row. */
  watchEveryMs: 10_000,
  watchTimeoutMs: 5_000,
  watchFailuresMax: 3,
  /** Doubled with every failure in a row; the row ends when it ran for `stableMs`. */
  backoffMinMs: 500,
  backoffMaxMs: 60_000,
  stableMs: 60_000,
  /** After this many failures in a row it is started again only for a call, and for `restMs` not even then. */
  failuresMax: 5,
  restMs: 5_000,
  /** How long the container's end is looked for after a lost connection. */
  explainMs: 2_000,
  stopGraceS: 5,
};
export type ImageTimings = typeof imageTimings;

export function backoffMs(failures: number, timings: ImageTimings): number {
  return Math.min(timings.backoffMinMs * 2 ** (failures - 1), timings.backoffMaxMs);
}

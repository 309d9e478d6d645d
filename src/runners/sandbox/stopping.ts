import type { StopReason } from "../contract.ts";

/** Why a run is being stopped. The first reason counts and is known before any signal is sent. */
export type Stopping = {
  reason(): StopReason | null;
  stop(reason: StopReason): void;
  /** Resolves with the reason. */
  readonly asked: Promise<StopReason>;
};

export function createStopping(): Stopping {
  const { promise: asked, resolve } = Promise.withResolvers<StopReason>();
  let reason: StopReason | null = null;
  return {
    asked,
    reason: () => reason,
    stop: (why) => {
      if (reason !== null) return;
      reason = why;
      resolve(why);
    },
  };
}

/** Time between TERM and KILL. A fenced run is no longer ours to finish; one that broke a limit may do no more harm. */
export function graceMsFor(reason: StopReason, graceMs: number): number {
  if (reason === "fenced") return Math.min(graceMs, 250);
  if (typeof reason !== "string" && reason.code !== "timed_out") return 0;
  return graceMs;
}

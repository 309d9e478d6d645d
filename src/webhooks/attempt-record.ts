import type { DeliveryAttempt } from "../engine/delivery-queue.ts";
import type { PostOutcome } from "./post.ts";

/** An attempt that was made: to its end, or until it failed. */
export type Made = Exclude<PostOutcome, { kind: "interrupted" }>;

const keptResponseChars = 1_000;

/** An attempt as the delivery keeps it. `at` is when it began. */
export function attemptOf(at: string, outcome: Made): DeliveryAttempt {
  if (outcome.kind === "answered") {
    const response = outcome.responseText.slice(0, keptResponseChars);
    return { at, status: outcome.status, duration_ms: outcome.durationMs, response, error: null };
  }
  const durationMs = outcome.kind === "failed" ? outcome.durationMs : 0;
  return { at, status: null, duration_ms: durationMs, response: null, error: outcome.reason };
}

/** What went wrong, in a few words for the log. */
export function reasonOf(outcome: Made): string {
  return outcome.kind === "answered" ? `answered ${outcome.status}` : outcome.reason;
}

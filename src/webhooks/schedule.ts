import type { PostOutcome } from "./post.ts";

/** `WEBHOOK_MAX_RETRIES` and `WEBHOOK_RETRY_DELAY`; null where unset. */
export type RetrySettings = { retriesMax: number | null; delayMs: number | null };

export type Verdict =
  { kind: "delivered" } | { kind: "retry"; afterMs: number } | { kind: "gone" } | { kind: "exhausted" };

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

/** Waits before the second, third … attempt; the first is made at once. Source: Standard Webhooks 1.0, "Retry schedule". */
const longScheduleMs = [
  5 * secondMs,
  5 * minuteMs,
  30 * minuteMs,
  2 * hourMs,
  5 * hourMs,
  10 * hourMs,
  14 * hourMs,
  20 * hourMs,
  24 * hourMs,
];
const longestWaitMs = 24 * hourMs;
/** What the original Andera worker does when only a delay is in play. */
const fixedRetriesMax = 3;
/** Longer wishes are cut to this: a receiver must not be able to park deliveries for days. */
const retryAfterMaxMs = hourMs;
const jitterShare = 0.1;

/** How many attempts a delivery gets at most. */
export function attemptsMax(settings: RetrySettings): number {
  const retries = settings.retriesMax ?? (settings.delayMs === null ? longScheduleMs.length : fixedRetriesMax);
  return retries + 1;
}

/**
 * What follows attempt number `attempt` (from 1). Only 2xx is success, 410 is final, everything else is tried again:
 * after the fixed delay when one is set, else after the long schedule's wait ± 10 % (`random` in 0…1); beyond its end every 24 h.
 * A `Retry-After` makes the wait longer, never shorter, and counts for at most an hour.
 */
export function nextAttempt(made: {
  attempt: number;
  outcome: Exclude<PostOutcome, { kind: "interrupted" }>;
  settings: RetrySettings;
  random: number;
}): Verdict {
  const { outcome, settings } = made;
  if (outcome.kind === "answered" && outcome.status >= 200 && outcome.status < 300) return { kind: "delivered" };
  if (outcome.kind === "answered" && outcome.status === 410) return { kind: "gone" };
  if (made.attempt >= attemptsMax(settings)) return { kind: "exhausted" };
  const wishMs = outcome.kind === "answered" ? (outcome.retryAfterS ?? 0) * secondMs : 0;
  const plannedMs = settings.delayMs ?? scheduledMs(made.attempt, made.random);
  return { kind: "retry", afterMs: Math.max(plannedMs, Math.min(wishMs, retryAfterMaxMs)) };
}

function scheduledMs(attempt: number, random: number): number {
  const waitMs = longScheduleMs[attempt - 1] ?? longestWaitMs;
  return Math.round(waitMs * (1 + jitterShare * (2 * random - 1)));
}

import { describe, expect, test } from "bun:test";
import type { PostOutcome } from "../../src/webhooks/post.ts";
import { parseRetryAfter } from "../../src/webhooks/retry-after.ts";
import { attemptsMax, nextAttempt, type RetrySettings, type Verdict } from "../../src/webhooks/schedule.ts";

type Made = Exclude<PostOutcome, { kind: "interrupted" }>;
const unset: RetrySettings = { retriesMax: null, delayMs: null };
const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const answered = (status: number, retryAfterS?: number): Made => ({
  kind: "answered",
  status,
  durationMs: 1,
  responseText: "",
  ...(retryAfterS === undefined ? {} : { retryAfterS }),
});
const failed: Made = { kind: "failed", reason: "connection refused", durationMs: 1 };
const after = (outcome: Made, attempt = 1, settings = unset, random = 0.5): Verdict =>
  nextAttempt({ attempt, outcome, settings, random });

describe("what an outcome means", () => {
  test.each([200, 201, 202, 204, 299])("%d is delivered", (status) => {
    expect(after(answered(status))).toEqual({ kind: "delivered" });
  });
  test("410 stops for good, at any attempt", () => {
    expect(after(answered(410))).toEqual({ kind: "gone" });
    expect(after(answered(410, 5), 10)).toEqual({ kind: "gone" });
  });
  test.each([100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 409, 429, 500, 502, 503, 504, 999])(
    "%d is tried again",
    (status) => {
      expect(after(answered(status))).toEqual({ kind: "retry", afterMs: 5 * secondMs });
    },
  );
  test("a failure and a refused target are tried again", () => {
    expect(after(failed).kind).toBe("retry");
    expect(after({ kind: "refused", reason: "not public" }).kind).toBe("retry");
  });
});

describe("the long schedule", () => {
  const waits = [5 * secondMs, 5 * minuteMs, 30 * minuteMs, ...[2, 5, 10, 14, 20, 24].map((hours) => hours * hourMs)];
  test("makes ten attempts with the waits of Standard Webhooks", () => {
    const seen = waits.map((_, index) => after(failed, index + 1));
    expect(seen).toEqual(waits.map((afterMs) => ({ kind: "retry", afterMs })));
    expect(after(failed, 10)).toEqual({ kind: "exhausted" });
    expect(attemptsMax(unset)).toBe(10);
  });
  test.each([
    [0, 0.9],
    [0.25, 0.95],
    [1, 1.1],
  ])("random %d makes every wait %d of itself", (random, share) => {
    for (const [index, waitMs] of waits.entries()) {
      expect(after(failed, index + 1, unset, random)).toEqual({ kind: "retry", afterMs: Math.round(waitMs * share) });
    }
  });
  test("is cut by WEBHOOK_MAX_RETRIES", () => {
    const settings = { retriesMax: 2, delayMs: null };
    expect([1, 2, 3].map((attempt) => after(failed, attempt, settings))).toEqual([
      { kind: "retry", afterMs: 5 * secondMs },
      { kind: "retry", afterMs: 5 * minuteMs },
      { kind: "exhausted" },
    ]);
  });
  test("goes on daily when WEBHOOK_MAX_RETRIES asks for more than it has", () => {
    const settings = { retriesMax: 12, delayMs: null };
    expect(after(failed, 12, settings)).toEqual({ kind: "retry", afterMs: 24 * hourMs });
    expect(after(failed, 13, settings)).toEqual({ kind: "exhausted" });
  });
});

describe("the fixed delay", () => {
  test("alone makes three retries, all after exactly the delay", () => {
    const settings = { retriesMax: null, delayMs: 1_000 };
    const seen = [1, 2, 3, 4].map((attempt) => after(failed, attempt, settings, Math.random()));
    expect(seen).toEqual([...Array(3).fill({ kind: "retry", afterMs: 1_000 }), { kind: "exhausted" }]);
  });
  test.each([
    [0, 1],
    [1, 2],
    [5, 6],
  ])("with %d retries makes %d attempts", (retriesMax, attempts) => {
    const settings = { retriesMax, delayMs: 0 };
    expect(attemptsMax(settings)).toBe(attempts);
    expect(after(failed, attempts, settings)).toEqual({ kind: "exhausted" });
    if (attempts > 1) expect(after(failed, attempts - 1, settings)).toEqual({ kind: "retry", afterMs: 0 });
  });
});

describe("Retry-After", () => {
  test("makes a wait longer", () => {
    expect(after(answered(503, 60))).toEqual({ kind: "retry", afterMs: minuteMs });
    expect(after(answered(429, 60), 1, { retriesMax: 3, delayMs: 10 })).toEqual({ kind: "retry", afterMs: minuteMs });
  });
  test("never makes it shorter", () => {
    expect(after(answered(503, 0), 2)).toEqual({ kind: "retry", afterMs: 5 * minuteMs });
  });
  test("counts for at most an hour", () => {
    expect(after(answered(503, 9_999_999_999))).toEqual({ kind: "retry", afterMs: hourMs });
  });
  test("makes no attempt more", () => {
    expect(after(answered(503, 1), 10)).toEqual({ kind: "exhausted" });
  });
  const nowMs = Date.parse("2026-11-22T08:00:00Z");
  const values: [string | null, number | null][] = [
    ["0", 0],
    [" 120 ", 120],
    ["9999999999", 9_999_999_999],
    ["Sun, 22 Nov 2026 08:02:00 GMT", 120],
    ["Sunday, 22-Nov-26 08:02:00 GMT", 120],
    ["Sun, 22 Nov 2026 07:00:00 GMT", 0],
    [null, null],
    ["", null],
    ["-5", null],
    ["1.5", null],
    ["1e9", null],
    ["99999999999", null],
    ["soon", null],
    ["Sun, 99 Nov 2026", null],
    ["2026-11-22", null],
    ["2027", 2_027],
  ];
  test.each(values)("%j means %j seconds", (value, seconds) => {
    expect(parseRetryAfter(value, nowMs)).toBe(seconds);
  });
});

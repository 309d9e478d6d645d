import { describe, expect, test } from "bun:test";
import { isFinal, mayMove, statuses } from "../../src/engine/status.ts";

/** Every move there is: DESIGN.md 2, and a retry of what is final. */
const allowed = new Set([
  "queued running",
  "queued cancelled",
  "running succeeded",
  "running failed",
  "running cancelled",
  "running queued",
  "succeeded queued",
  "failed queued",
  "cancelled queued",
]);

describe("the table of moves", () => {
  for (const from of statuses)
    for (const to of statuses)
      test(`${allowed.has(`${from} ${to}`) ? "allows" : "forbids"} ${from} to ${to}`, () => {
        expect(mayMove(from, to)).toBe(allowed.has(`${from} ${to}`));
      });

  test("knows what is final", () => {
    expect(statuses.filter(isFinal)).toEqual(["succeeded", "failed", "cancelled"]);
  });
});

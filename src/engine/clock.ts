import type { Engine } from "./context.ts";

/**
 * The time by the database's clock, in ms since the epoch, as of the last renewal. What is written for others to compare with
 * is told by it: clocks of nodes may be hours apart.
 */
export function databaseNowMs({ view }: Engine): number {
  return Date.now() + view.clockAheadMs;
}

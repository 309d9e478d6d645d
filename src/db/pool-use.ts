import type { Sql } from "./client.ts";

/** How much of a pool is in use: `waiting` are statements that have no connection yet. */
export type PoolUse = { max: number; used: number; idle: number; waiting: number };

/** Told by the driver's patch. */
export function poolUse(pool: Sql): PoolUse {
  const { usage } = pool as Sql & { usage: () => { max: number; open: number; used: number; waiting: number } };
  const { max, open, used, waiting } = usage();
  return { max, used, idle: open, waiting };
}

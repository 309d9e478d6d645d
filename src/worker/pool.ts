import type { Runner } from "../runners/contract.ts";

/** The slots of one runner on this node. */
export type Pool = {
  queue: string;
  runner: Runner;
  limit: number;
  used: number;
  /** Of those, held for a claim that is on its way: nothing runs in them yet. */
  held: number;
  /** Something may wait in the queue: newcomers go behind it. */
  backlog: boolean;
  /** A message was put since the last claim began. */
  isWoken: boolean;
  claiming: boolean;
  lastClaimAtMs: number | null;
};

export function createPool(runner: Runner, limit: number): Pool {
  // At start nobody knows what waits, so the first look decides.
  return {
    queue: runner.name,
    runner,
    limit,
    used: 0,
    held: 0,
    backlog: true,
    isWoken: false,
    claiming: false,
    lastClaimAtMs: null,
  };
}

export function freeSlots(pool: Pool): number {
  return pool.limit - pool.used;
}

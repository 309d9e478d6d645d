import type { KnownNeed } from "../engine/need-book.ts";
import type { Runner } from "../runners/contract.ts";
import { Courtesy } from "./courtesy.ts";

/** A queue that a pool's work comes from: the common one of its runner, or that of a need which this node fulfils. */
export type Source = {
  queue: string;
  /** Something may wait there: newcomers go behind it. */
  backlog: boolean;
  /** A message was put since the last claim began. */
  isWoken: boolean;
};

/** The slots of one runner on this node. */
export type Pool = {
  /** The runner's name, and that of the common queue. */
  queue: string;
  runner: Runner;
  limit: number;
  used: number;
  /** Of those, held for claims that are on their way: nothing runs in them yet. */
  held: number;
  sources: Source[];
  /** The claims that are on their way, without those that were given up. */
  claiming: Set<symbol>;
  /** When messages were last taken, whatever became of them; as `performance.now()`, like the next. */
  takenAtMs: number;
  /** When this pool was last seen without a free slot, or not allowed to begin anything. */
  closedAtMs: number;
  lastClaimAtMs: number | null;
  courtesy: Courtesy;
  /** Runs while what waits is left to others. */
  later: ReturnType<typeof setTimeout> | null;
  /** Runs while free slots wait for more of them. */
  refill: ReturnType<typeof setTimeout> | null;
};

export function createPool(runner: Runner, limit: number): Pool {
  return {
    queue: runner.name,
    runner,
    limit,
    used: 0,
    held: 0,
    sources: [sourceOf(runner.name)],
    claiming: new Set(),
    takenAtMs: 0,
    closedAtMs: performance.now(),
    lastClaimAtMs: null,
    courtesy: new Courtesy(),
    later: null,
    refill: null,
  };
}

export function freeSlots(pool: Pool): number {
  return pool.limit - pool.used;
}

export function hasBacklog({ sources }: Pool): boolean {
  // Mostly there is one.
  for (const source of sources) if (source.backlog) return true;
  return false;
}

/** From now on the pool draws from these need-queues and no others, beside the common one. */
export function setSources(pool: Pool, needs: readonly KnownNeed[]): void {
  const known = new Map(pool.sources.map((source) => [source.queue, source]));
  const queues = [pool.queue, ...needs.map(({ queue }) => queue)];
  pool.sources = queues.map((queue) => known.get(queue) ?? sourceOf(queue));
}

/** At first nobody knows what waits, so the first look decides. */
function sourceOf(queue: string): Source {
  return { queue, backlog: true, isWoken: false };
}

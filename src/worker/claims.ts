import { isPassingFault } from "../db/client.ts";
import { type Claim, claim } from "../engine/begin.ts";
import type { Claimed } from "../engine/claimed.ts";
import type { Engine } from "../engine/context.ts";
import { observe } from "../buckets.ts";
import type { Log } from "../log.ts";
import { queuesWithWork } from "../queue/boss.ts";
import { freeSlots, hasBacklog, type Pool } from "./pool.ts";
import { Recount } from "./recount.ts";

export type ClaimsOptions = {
  engine: Engine;
  log: Log;
  pools: ReadonlyMap<string, Pool>;
  mayBegin(pool: Pool): boolean;
  execute(task: Claimed): void;
  /** Slots have been taken or given back. */
  onSlots(): void;
};

const claimMax = 200;
/** How long a free slot stays free for the sake of larger claims. */
const refillMs = 2;
/** Where many more wait than there are slots, a second claim is on its way while what the first one brought is begun. */
const deep = { claims: 2, slotsMin: 64, waitingPerSlot: 4 };

/** Fetches work for the free slots of each pool, as long as something waits. */
export class Claims {
  readonly #options: ClaimsOptions;
  readonly #recount: Recount;
  #isLooking = false;
  /** When a look at the queues was last answered, as `performance.now()`. */
  lookedAtMs = 0;

  constructor(options: ClaimsOptions) {
    this.#options = options;
    this.#recount = new Recount(options.engine, options.log);
  }

  /** Polling is the floor under notifications, and the only way to see that a delay is over. */
  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { engine, pools, log } = this.#options;
    try {
      const sources = [...pools.values()].flatMap((pool) => pool.sources);
      const idle = sources.filter((source) => !source.backlog);
      const found =
        idle.length === 0
          ? []
          : await queuesWithWork(
              engine.db.hot,
              idle.map(({ queue }) => queue),
            );
      for (const source of idle) {
        if (!found.includes(source.queue)) continue;
        source.backlog = true;
        source.isWoken = true;
      }
      this.lookedAtMs = performance.now();
      for (const pool of pools.values()) if (hasBacklog(pool)) void this.pump(pool);
    } catch (fault) {
      if (!isPassingFault(fault)) log.error("looking for work failed", { fault });
    } finally {
      this.#isLooking = false;
    }
  }

  async pump(pool: Pool): Promise<void> {
    if (pool.claiming.size === 0) await this.#claimWhile(pool);
  }

  /** One claim after the other. */
  async #claimWhile(pool: Pool): Promise<void> {
    const claiming = Symbol(pool.queue);
    pool.claiming.add(claiming);
    const goesOn = () => pool.claiming.has(claiming) && hasBacklog(pool) && this.#options.mayBegin(pool);
    const isWorthIt = () => (pool.claiming.size === 1 ? freeSlots(pool) > 0 : isHalfFree(pool));
    try {
      while (goesOn() && isWorthIt() && pool.courtesy.holdsForMs === 0) await this.#claimInto(pool, claiming);
      if (pool.courtesy.holdsForMs > 0) this.pumpLater(pool);
    } catch (fault) {
      if (!isPassingFault(fault)) this.#options.log.error("claiming failed", { queue: pool.queue, fault });
    } finally {
      pool.claiming.delete(claiming);
    }
  }

  /** A slot is free again. A claim costs about as much for one task as for ten, so it waits a moment for others to be free. */
  refill(pool: Pool): void {
    if (pool.claiming.size > 0) {
      if (isHalfFree(pool) && this.#isDeep(pool)) void this.#claimWhile(pool);
    } else if (isHalfFree(pool)) void this.pump(pool);
    else
      pool.refill ??= setTimeout(() => {
        pool.refill = null;
        void this.pump(pool);
      }, refillMs);
  }

  /** Once others have had their moment. */
  pumpLater(pool: Pool): void {
    pool.later ??= setTimeout(() => {
      pool.later = null;
      pool.courtesy.release();
      for (const source of pool.sources) source.backlog ||= source.isWoken;
      void this.pump(pool);
    }, pool.courtesy.holdsForMs);
  }

  close(): void {
    this.#recount.close();
    for (const pool of this.#options.pools.values()) {
      clearTimeout(pool.later ?? undefined);
      clearTimeout(pool.refill ?? undefined);
    }
  }

  /** Waits no longer for claims and looks that are on their way. What they bring after all is still run. */
  giveUpWaiting(): void {
    this.#isLooking = false;
    for (const pool of this.#options.pools.values()) {
      pool.claiming.clear();
      pool.used -= pool.held;
      pool.held = 0;
    }
  }

  /** Other nodes with free slots are not to be left without, and what is near its end is not worth it. */
  #isDeep(pool: Pool): boolean {
    const { view } = this.#options.engine;
    if (pool.claiming.size >= deep.claims || pool.limit < deep.slotsMin || pool.sources.length > 1) return false;
    return view.waiting > pool.limit * deep.waitingPerSlot && pool.courtesy.nodes(view.idlePeers[pool.queue]) === 1;
  }

  async #claimInto(pool: Pool, claiming: symbol): Promise<void> {
    const { engine, onSlots } = this.#options;
    const most = Math.min(freeSlots(pool), claimMax);
    const drawn = pool.sources.filter((source) => source.backlog);
    for (const source of drawn) {
      // While the claim is on its way newcomers may start ahead of nothing: where more wait than it takes, they queue.
      source.backlog = engine.view.waiting > most;
      source.isWoken = false;
    }
    pool.used += most;
    pool.held += most;
    let used = 0;
    const sinceMs = performance.now();
    try {
      // Whether others fulfil a need is not known here.
      const isForAll = drawn.every(({ queue }) => queue === pool.queue);
      const nodes = isForAll ? pool.courtesy.nodes(engine.view.idlePeers[pool.queue]) : 1;
      const found = await claim(
        engine,
        drawn.map(({ queue }) => queue),
        most,
        nodes,
      );
      used = found.claimed.length;
      // A message that has arrived meanwhile may not have been seen.
      for (const source of drawn) source.backlog = found.hasMore || source.isWoken;
      if (!found.hasMore) this.#recount.soon();
      this.#note(pool, found, nodes > 1);
      this.#count(pool, found.claimed, sinceMs);
      for (const task of found.claimed) this.#options.execute(task);
    } catch (fault) {
      for (const source of drawn) source.backlog = true;
      throw fault;
    } finally {
      const isGivenUp = !pool.claiming.has(claiming);
      pool.used += isGivenUp ? used : used - most;
      if (!isGivenUp) pool.held -= most;
      onSlots();
    }
  }

  #note(pool: Pool, { claimed, taken, isShare }: Claim, hasIdlePeers: boolean): void {
    if (taken > 0) pool.takenAtMs = performance.now();
    if (claimed.length > 0) pool.lastClaimAtMs = Date.now();
    if (hasIdlePeers) pool.courtesy.found(claimed);
    pool.courtesy.claimed(isShare);
  }

  #count(pool: Pool, claimed: Claimed[], sinceMs: number): void {
    const tally = this.#options.engine.tally.runners[pool.runner.name];
    observe(tally.claimS, (performance.now() - sinceMs) / 1_000);
    tally.claimed += claimed.length;
    for (const { queuedAtMs, startedAtMs } of claimed)
      observe(tally.waitS, Math.max(0, startedAtMs - queuedAtMs) / 1_000);
  }
}

function isHalfFree(pool: Pool): boolean {
  return freeSlots(pool) * 2 >= pool.limit;
}

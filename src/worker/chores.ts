import { isPassingFault } from "../db/client.ts";
import type { Engine } from "../engine/context.ts";
import type { Renewal } from "../engine/lease.ts";
import { type Lost, reap, unpark } from "../engine/reap.ts";
import { countWaiting } from "../engine/count-waiting.ts";
import type { Log } from "../log.ts";
import type { Worker } from "./worker.ts";

export type ChoresOptions = { engine: Engine; worker: Worker | null; log: Log };

const countEveryMs = 5_000;
/** What takes long, since so much waits, is done so much less often that it takes a fiftieth of the time. */
const restFactor = 50;
/** And no longer, since it may have taken long for a database that was away. */
const restMaxMs = 60_000;
/** What no renewal points at: tasks of nodes without a row, and of keys whose waker died. */
const sweepEveryMs = 15_000;

/**
 * What a node does for all after it has renewed its lease. Apart from the renewal, which must not wait for it: a call
 * that finds the last round still going on does nothing.
 */
export class Chores {
  readonly #options: ChoresOptions;
  #round: Promise<void> | null = null;
  #countAtMs = 0;
  #hasCounted = false;
  #sweepAtMs = 0;
  /** Runs that the database says are ours, and that nothing here executes; as seen by the last renewal. */
  #suspects = new Set<string>();

  constructor(options: ChoresOptions) {
    this.#options = options;
  }

  begin(renewal: Renewal): void {
    if (this.#round !== null) return;
    this.#round = this.#work(renewal)
      .catch((fault: unknown) => {
        if (!isPassingFault(fault)) this.#options.log.error("a chore failed", { fault });
      })
      .finally(() => {
        this.#round = null;
      });
  }

  async settled(): Promise<void> {
    await this.#round;
  }

  /** Returns the tasks of lost runs to the queue, all of them. */
  async returnLost(lost: Lost, event: string): Promise<void> {
    const { engine, log } = this.#options;
    for (;;) {
      const { returned, hasMore, faults } = await reap(engine, lost);
      if (returned > 0) log.warn(event, { tasks: returned });
      for (const fault of faults) log.error("a lost task could not be returned", { fault });
      if (!hasMore || returned === 0) return;
    }
  }

  async #work(renewal: Renewal): Promise<void> {
    const { engine } = this.#options;
    const isSweep = Date.now() >= this.#sweepAtMs;
    if (renewal.expired || isSweep) await this.returnLost("expired", "tasks of vanished nodes were queued again");
    await this.#returnOrphans(renewal.owned);
    if (Date.now() >= this.#countAtMs && (!this.#hasCounted || engine.view.waiting > 0)) {
      this.#hasCounted = true;
      this.#countAtMs = await timed(countEveryMs, async () => {
        engine.view.waiting = await countWaiting(engine);
      });
    }
    if (isSweep) this.#sweepAtMs = await timed(sweepEveryMs, () => unpark(engine));
  }

  /**
   * A transaction whose answer was lost with its connection may have begun tasks that nobody executes, and so may the
   * last one of an earlier process of this name. Seen in two renewals in a row, they are no more on their way here.
   */
  async #returnOrphans(owned: readonly string[]): Promise<void> {
    const { worker } = this.#options;
    const idle = owned.filter((runId) => worker?.isRunning(runId) !== true);
    const orphans = idle.filter((runId) => this.#suspects.has(runId));
    this.#suspects = new Set(idle);
    if (orphans.length > 0) await this.returnLost({ runIds: orphans }, "tasks that nobody executed were queued again");
  }
}

/** Does it, and returns when it should be done again. */
async function timed(everyMs: number, work: () => Promise<void>): Promise<number> {
  const since = Date.now();
  await work();
  const now = Date.now();
  return now + Math.max(everyMs, Math.min(restFactor * (now - since), restMaxMs));
}

import { isPassingFault } from "../db/client.ts";
import type { Engine } from "../engine/context.ts";
import { countWaiting } from "../engine/count-waiting.ts";
import type { Log } from "../log.ts";

/** So long after the first one who asks, for all who ask meanwhile. */
const afterMs = 200;
/** Counting many takes long, and is done so much less often that it takes a fiftieth of the time. */
const restFactor = 50;

/**
 * Corrects how many tasks are believed to wait. That number is a count plus what this node has put and taken since, and so it is
 * wrong by whatever was on its way while it was counted: a queue that has been emptied must not go on looking full.
 */
export class Recount {
  readonly #engine: Engine;
  readonly #log: Log;
  #timer: Timer | null = null;
  #restsUntilMs = 0;

  constructor(engine: Engine, log: Log) {
    this.#engine = engine;
    this.#log = log;
  }

  /** Asks for a count. Nothing is counted where nothing is believed to wait. */
  soon(): void {
    if (this.#timer !== null || this.#engine.view.waiting === 0) return;
    const pauseMs = Math.max(afterMs, this.#restsUntilMs - performance.now());
    this.#timer = setTimeout(() => void this.#count(), pauseMs);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #count(): Promise<void> {
    const sinceMs = performance.now();
    try {
      this.#engine.view.waiting = await countWaiting(this.#engine);
    } catch (fault) {
      // The next round of chores counts again.
      if (!isPassingFault(fault)) this.#log.error("counting what waits failed", { fault });
    } finally {
      const now = performance.now();
      this.#restsUntilMs = now + (now - sinceMs) * restFactor;
      this.#timer = null;
    }
  }
}

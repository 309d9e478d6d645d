import { isConnectionFault, type Sql } from "../db/client.ts";
import { type DueDelivery, keepClaims } from "../engine/delivery-queue.ts";
import type { Log } from "../log.ts";

/** A claim is renewed so often in its time that one renewal may fail. */
const renewalsPerClaim = 3;

/**
 * Holds the claims of deliveries that are on their way, however long they take. A claim is short, so that those of a process that died are
 * soon free for others.
 */
export class ClaimKeeper {
  readonly #options: { sql: Sql; log: Log; claimS: number };
  readonly #underWay = new Set<DueDelivery>();
  #timer: ReturnType<typeof setInterval> | null = null;

  constructor(options: { sql: Sql; log: Log; claimS: number }) {
    this.#options = options;
  }

  hold(due: DueDelivery): void {
    this.#underWay.add(due);
    this.#timer ??= setInterval(() => void this.#renew(), (this.#options.claimS * 1_000) / renewalsPerClaim);
  }

  release(due: DueDelivery): void {
    this.#underWay.delete(due);
    if (this.#underWay.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  async #renew(): Promise<void> {
    const { sql, log, claimS } = this.#options;
    try {
      await keepClaims(sql, [...this.#underWay], claimS);
    } catch (fault) {
      // The next one is soon; a claim that runs out meanwhile costs a second delivery, which receivers tell by its id.
      if (!isConnectionFault(fault)) log.error("claims of deliveries could not be renewed", { fault });
    }
  }
}

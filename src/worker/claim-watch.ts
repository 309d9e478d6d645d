import type { Log } from "../log.ts";
import type { Worker } from "./worker.ts";

export type WatchTimes = {
  /** For so long a node may leave work alone that it could run. */
  patienceMs: number;
  /** After that it tries again; each time in vain it waits twice as long, at most `retryMaxMs`. */
  retryMs: number;
  retryMaxMs: number;
};

/** A process that froze within a claim holds what it was about to take for 10 s. */
const patienceMinMs = 12_000;
const retryMaxMs = 600_000;

/** The times that go with a lease: patience for two of them. */
export function watchTimesOf(leaseMs: number): WatchTimes {
  const patienceMs = Math.max(2 * leaseMs, patienceMinMs);
  return { patienceMs, retryMs: patienceMs, retryMaxMs };
}

/**
 * Notices a node that renews its lease and takes nothing of what waits for it: a claim that never comes back over a
 * connection that is half gone, or fails each time. Such a node says so and begins nothing more, so that it is not counted on.
 * The way back: now and then it is let try, without waiting for earlier claims any longer. Once it has taken something,
 * or has seen that there is nothing left to take, it is well again.
 */
export class ClaimWatch {
  readonly #worker: Worker;
  readonly #log: Log;
  readonly #times: WatchTimes;
  #complaint: string | null = null;
  /** Since when work has been seen to lie. */
  #seenAtMs: number | null = null;
  #pauseMs: number;
  #retryAtMs = 0;
  /** Since when it is let try; null while it is well, or barred. */
  #trialSinceMs: number | null = null;

  constructor(worker: Worker, log: Log, times: WatchTimes) {
    this.#worker = worker;
    this.#log = log;
    this.#times = times;
    this.#pauseMs = this.#times.retryMs;
  }

  /** Why this node takes no work though it should; null while it is well. */
  get complaint(): string | null {
    return this.#complaint;
  }

  get patienceMs(): number {
    return this.#times.patienceMs;
  }

  /** The queues of which it is to be asked whether something has waited there for `patienceMs`. */
  suspects(): string[] {
    return this.#worker.untouched(this.#times.patienceMs);
  }

  /** `overdue` are those of the suspects in which something has. Called after each renewal. */
  judge(overdue: readonly string[]): void {
    const now = performance.now();
    if (this.#complaint === null) {
      // A process that was frozen finds work that is overdue, and has only to take it.
      this.#seenAtMs = overdue.length === 0 ? null : (this.#seenAtMs ?? now);
      if (this.#seenAtMs !== null && now - this.#seenAtMs >= this.#times.patienceMs / 3) this.#complain(overdue, now);
    } else if (this.#trialSinceMs !== null) this.#judgeTrial(this.#trialSinceMs, overdue, now);
    else if (now >= this.#retryAtMs) {
      this.#trialSinceMs = now;
      this.#worker.bar(false);
    }
  }

  #complain(overdue: readonly string[], now: number): void {
    const seconds = Math.round(this.#times.patienceMs / 1_000);
    this.#complaint = `has taken nothing of ${overdue.join(", ")} for ${seconds} s though work waits there`;
    this.#seenAtMs = null;
    this.#log.error("this node claims nothing: it begins no work until it can", { queues: overdue });
    this.#bar(now);
  }

  #judgeTrial(sinceMs: number, overdue: readonly string[], now: number): void {
    const { takenAtMs, lookedAtMs } = this.#worker.claimTimes;
    if (takenAtMs >= sinceMs || (overdue.length === 0 && lookedAtMs >= sinceMs)) {
      this.#complaint = null;
      this.#trialSinceMs = null;
      this.#pauseMs = this.#times.retryMs;
      this.#log.info("this node claims again");
    } else if (now - sinceMs >= this.#times.patienceMs) {
      this.#pauseMs = Math.min(this.#pauseMs * 2, this.#times.retryMaxMs);
      this.#bar(now);
    }
  }

  #bar(now: number): void {
    this.#trialSinceMs = null;
    this.#retryAtMs = now + this.#pauseMs;
    this.#worker.bar(true);
  }
}

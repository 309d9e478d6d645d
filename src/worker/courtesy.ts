import type { Claimed } from "../engine/claimed.ts";
import type { PeerSlots } from "../engine/context.ts";

/** How long a message is left to others before this node takes it itself. They hear of it within a few milliseconds. */
const courtesyMs = 50;
/** Short work is over before its going elsewhere would have paid: it counts as being there for this long. */
const awayMinMs = 50;
/** Peers that let a message lie have less to give than they last said. */
const distrustMs = 5_000;

/**
 * Keeps a node that is given work from doing all of it while others have nothing to do: as long as they are less busy,
 * newcomers are left to them. What they do is known from their last renewal, plus what was left to them since, minus what should be
 * done by now; so a node that gives away too much soon stops, and short work hardly leaves at all.
 */
export class Courtesy {
  /** When each task was left to others, oldest first. */
  #left: number[] = [];
  #seenAt: PeerSlots | undefined;
  #untilMs = 0;
  #distrustUntilMs = 0;
  #meanRunMs = awayMinMs;

  /** Whether a newcomer is to be left to `peers`, which counts it as theirs. */
  leaves(peers: PeerSlots | undefined, used: number, limit: number): boolean {
    if (peers === undefined) return false;
    const now = performance.now();
    if (now < this.#distrustUntilMs) return false;
    // A renewal tells of what has arrived there by now.
    if (peers !== this.#seenAt) this.#left = this.#left.filter((at) => now - at < courtesyMs);
    this.#seenAt = peers;
    const goneBefore = now - Math.max(awayMinMs, this.#meanRunMs);
    while ((this.#left[0] ?? now) < goneBefore) this.#left.shift();
    const theirs = peers.used + this.#left.length;
    if (theirs >= peers.limit || used / limit <= theirs / peers.limit) return false;
    this.#left.push(now);
    this.#untilMs = now + courtesyMs;
    return true;
  }

  /** For how much longer the queue is left to others, in ms. */
  get holdsForMs(): number {
    return Math.max(0, this.#untilMs - performance.now());
  }

  /** What this node has claimed itself: whether it had lain there although others had free slots. */
  found(claimed: readonly Claimed[]): void {
    const isOld = claimed.some(({ queuedAtMs, startedAtMs }) => startedAtMs - queuedAtMs >= courtesyMs);
    if (isOld) this.#distrustUntilMs = performance.now() + distrustMs;
  }

  /** A run on this node took so long. */
  learn(ms: number): void {
    this.#meanRunMs += (ms - this.#meanRunMs) / 8;
  }
}

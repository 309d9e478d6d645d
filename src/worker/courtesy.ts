import type { Claimed } from "../engine/claimed.ts";
import type { PeerSlots } from "../engine/context.ts";

/** How long newcomers are left to others before this node takes them itself. They hear of them within a few milliseconds. */
const courtesyMs = 100;
/** How long after a claim that took its share the rest is left. Shorter, so that whom newcomers are left to can take them all. */
const pauseMs = 20;
/** Shorter work is over before its going elsewhere would have paid: it is kept. */
const shortMs = 20;
/** What was left to others counts as being there for at least this long. */
const awayMinMs = 50;
/** Peers that let work lie have less to give than they said: for how long they are not counted on, doubled while they go on so. */
const distrustMs = 2_000;
const distrustMaxMs = 30_000;
const targetsMax = 1_000;
/** What waits is counted for as many nodes. */
const nodesMax = 50;

/**
 * Keeps a node that is given work from doing all of it while others have nothing to do. As long as they are less busy,
 * newcomers are left to them; and of what waits a claim takes its share, and leaves the rest to them for a moment. How busy they are
 * is known from their last renewal, plus what was left to them since, minus what should be done by now: so a node that
 * gives much away soon stops. Work that is short is not shared at all: handing it on takes longer. Times are those of `performance.now()`.
 */
export class Courtesy {
  /** When each task was left to others, oldest first. */
  #left: number[] = [];
  #seen: PeerSlots | undefined;
  #untilMs = 0;
  #tookShare = false;
  #distrustUntilMs = -distrustMaxMs;
  #distrustMs = distrustMs;
  /** How long runs take of late: those of a target, and all. */
  readonly #meanMs = new Map<string, number>();
  #meanOfAllMs = awayMinMs;

  /** Whether a newcomer for `target` is to be left to `peers`, which counts it as theirs. */
  leaves(target: string, peers: PeerSlots | undefined, used: number, limit: number): boolean {
    if (peers === undefined || !this.#trusts) return false;
    const meanMs = this.#meanMs.get(target) ?? awayMinMs;
    if (meanMs < shortMs) return false;
    const now = performance.now();
    // A renewal tells of what has arrived there by now.
    if (peers !== this.#seen) this.#left = this.#left.filter((at) => now - at < courtesyMs);
    this.#seen = peers;
    const goneBefore = now - Math.max(awayMinMs, meanMs);
    while ((this.#left[0] ?? now) < goneBefore) this.#left.shift();
    const theirs = peers.used + this.#left.length;
    if (theirs >= peers.limit || used / limit <= theirs / peers.limit) return false;
    this.#left.push(now);
    this.#untilMs = now + courtesyMs;
    return true;
  }

  /** Among how many nodes, this one counted, the next claim shares what waits. What others have let lie is not shared again. */
  nodes(peers: PeerSlots | undefined): number {
    const shares = this.#meanOfAllMs >= shortMs && !this.#tookShare && this.#trusts;
    return peers === undefined || !shares ? 1 : Math.min(1 + peers.nodes, nodesMax);
  }

  /** A claim is over. When it took its share, the rest is left to others for a moment. */
  claimed(isShare: boolean): void {
    this.#tookShare = isShare;
    if (isShare) this.#untilMs = Math.max(this.#untilMs, performance.now() + pauseMs);
  }

  /** The moment is over, whatever was left to others meanwhile. */
  release(): void {
    this.#untilMs = 0;
  }

  /** For how much longer the queue is left to others, in ms. */
  get holdsForMs(): number {
    return Math.max(0, this.#untilMs - performance.now());
  }

  /** What this node has claimed although others seemed to have free slots: whether it had lain there nevertheless. */
  found(claimed: readonly Claimed[]): void {
    if (!claimed.some(({ queuedAtMs, startedAtMs }) => startedAtMs - queuedAtMs >= courtesyMs)) return;
    const now = performance.now();
    const isAgain = now - this.#distrustUntilMs < this.#distrustMs;
    this.#distrustMs = isAgain ? Math.min(this.#distrustMs * 2, distrustMaxMs) : distrustMs;
    this.#distrustUntilMs = now + this.#distrustMs;
  }

  /** A run on this node took so long. */
  learn(target: string, ms: number): void {
    if (this.#meanMs.size >= targetsMax && !this.#meanMs.has(target)) this.#meanMs.clear();
    this.#meanMs.set(target, smoothed(this.#meanMs.get(target) ?? ms, ms));
    this.#meanOfAllMs = smoothed(this.#meanOfAllMs, ms);
  }

  get #trusts(): boolean {
    return performance.now() >= this.#distrustUntilMs;
  }
}

function smoothed(before: number, ms: number): number {
  return before + (ms - before) / 8;
}

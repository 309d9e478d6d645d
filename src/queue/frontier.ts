/** A place in a queue: what is there is handed out behind higher priorities, and behind earlier times of its own. */
export type Place = { priority: number; at: string };

type Reached = { place: Place; untilMs: number };

/** Until then a claim may pass by what came to an earlier place behind its back. */
const staleMs = { min: 100, max: 1_000 };
/** A look at a whole queue that takes long is taken so much less often that it takes a twentieth of the time. */
const restFactor = 20;
/** A message that is put in a transaction is seen by the end of this, if at all. */
const doubtMs = 1_000;

/**
 * How far claims have come in queues where much waits. A database keeps what was deleted in its index until it has cleaned up, so
 * that each claim which begins at the head steps over all that was claimed before: 4,000 pages after 300,000 messages were measured, and 10 ms
 * of a claim. One that begins at the place where the last one ended does not.
 */
export class Frontier {
  readonly #reached = new Map<string, Reached>();
  readonly #doubts = new Map<string, number>();

  /** Where the next claim may begin; null: at the head. */
  of(queue: string, nowMs: number): Place | null {
    const reached = this.#reached.get(queue);
    return reached === undefined || nowMs > reached.untilMs ? null : reached.place;
  }

  /** A claim that began at `from` took as many as it wanted, the last of them at `to`. `lookMs` is what it took. */
  advance(queue: string, from: Place | null, to: Place, { nowMs, lookMs }: { nowMs: number; lookMs: number }): void {
    if (from === null) {
      if (nowMs < (this.#doubts.get(queue) ?? 0)) return;
      const restMs = Math.min(staleMs.max, Math.max(staleMs.min, lookMs * restFactor));
      this.#reached.set(queue, { place: to, untilMs: nowMs + restMs });
      return;
    }
    const reached = this.#reached.get(queue);
    // Another claim may have looked at the head meanwhile, or somebody may have put what comes first.
    if (reached?.place === from) reached.place = to;
  }

  /** The next claim begins at the head. */
  reset(queue: string): void {
    this.#reached.delete(queue);
  }

  /** A message of this priority is there from now on. It goes behind its equals. */
  put(queue: string, priority: number): void {
    const reached = this.#reached.get(queue);
    if (reached !== undefined && priority > reached.place.priority) this.reset(queue);
  }

  /** A message may be there any moment. */
  putSoon(queue: string, nowMs: number): void {
    this.reset(queue);
    this.#doubts.set(queue, nowMs + doubtMs);
  }
}

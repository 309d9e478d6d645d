// Below this an execution costs less than the round trip of handing it over.
const quickMs = 2;
// One slow execution outweighs four quick ones; on a busy machine even the quickest is slow now and then.
const slowWeight = 4;
const provenScore = 5;
const scoreMax = 20;

/**
 * Whether a function has shown to end at once. Executions of such a function may be handed to a process before its
 * present one has ended, so that neither side waits for the other.
 */
export class Speed {
  #score = 0;

  get isQuick(): boolean {
    return this.#score >= provenScore;
  }

  /** An execution took this long, in milliseconds; infinity when it did not end by itself. */
  record(wallMs: number): void {
    this.#score = wallMs < quickMs ? Math.min(this.#score + 1, scoreMax) : Math.max(this.#score - slowWeight, 0);
  }
}

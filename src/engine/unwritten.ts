import { isPassingFault } from "../db/client.ts";
import { EngineError } from "../errors.ts";
import type { Prepared } from "./submit-rows.ts";

const retryFirstMs = 100;
const retryMaxMs = 2_000;

/**
 * A job whose run has begun before its rows are written. Its caller hears of it no earlier than of its end, so a short run
 * is written once, job and end together. A longer one, or one that has something to tell, is written as running.
 */
export class Unwritten {
  readonly entry: Prepared;
  /** When it began, by the clock that nobody sets. */
  readonly sinceMs = performance.now();
  readonly #insert: (entry: Prepared) => Promise<unknown>;
  readonly #committed = Promise.withResolvers<void>();
  #writing: Promise<void> | null = null;
  #isTaken = false;
  #writtenAtMs: number | null = null;
  #isStopped = false;
  #isCommitted = false;

  /** `insert` writes the job as a running one; a job that is there already is fine. */
  constructor(entry: Prepared, insert: (entry: Prepared) => Promise<unknown>) {
    this.entry = entry;
    this.#insert = insert;
    // Whoever waits for it looks at it; that nobody does is no fault.
    this.#committed.promise.catch(() => undefined);
  }

  /** Settles when the job is committed, in whichever way, or never will be. */
  get committed(): Promise<void> {
    return this.#committed.promise;
  }

  /** When the job was committed as a running one, by the same clock; null as long as it was not. */
  get writtenAtMs(): number | null {
    return this.#writtenAtMs;
  }

  /** Whether its run is still the only thing that knows of it. */
  get isHeld(): boolean {
    return this.#writing === null && !this.#isTaken;
  }

  /** Writes the job as a running one, unless that is done. Offered while the database is away, as a result would be. */
  write(): Promise<void> {
    this.#writing ??= this.#offer();
    return this.#writing;
  }

  /** The rows, for one statement with the end; null when they are written, or on their way. */
  take(): Prepared | null {
    if (this.#writing !== null) return null;
    this.#isTaken = true;
    return this.entry;
  }

  /** The statement with the end is committed. */
  recorded(): void {
    this.#isCommitted = true;
    this.#committed.resolve();
  }

  /** Its run is over, and whatever could be recorded of it has been. */
  close(): void {
    this.#isStopped = true;
    if (!this.#isCommitted) this.#committed.reject(new EngineError("unavailable", "The job could not be stored"));
  }

  async #offer(): Promise<void> {
    for (let waitMs = retryFirstMs; !this.#isStopped; waitMs = Math.min(waitMs * 2, retryMaxMs)) {
      try {
        await this.#insert(this.entry);
        this.#writtenAtMs = performance.now();
        this.recorded();
        return;
      } catch (fault) {
        if (!isPassingFault(fault)) throw fault;
        await Bun.sleep(waitMs);
      }
    }
  }
}

import type { Engine } from "./context.ts";
import { readPage } from "./feed-pages.ts";
import type { JobEvent } from "./hub.ts";
import { readStatus } from "./read.ts";
import { isFinal } from "./status.ts";

/** More unread live events than this are forgotten and read from the database when their reader gets to them. */
const bufferMax = 1_000;
/** The floor under notifications; and, with nobody else on the database, under answers that were lost. */
const pollEveryMs = 2_000;
const pollAloneEveryMs = 30_000;

/**
 * A job's history from `after` on, then what happens live, without a gap and without a repeat, until the job is final.
 * Close it, or it listens for ever.
 */
export class JobFeed {
  readonly #engine: Engine;
  readonly #jobId: string;
  readonly #unlisten: () => void;
  #last: number;
  #buffer: JobEvent[] = [];
  #mustRead = true;
  #ended = false;
  #closed = false;
  #wake: (() => void) | null = null;

  constructor(engine: Engine, jobId: string, after: number) {
    this.#engine = engine;
    this.#jobId = jobId;
    this.#last = after;
    this.#unlisten = engine.hub.listen(jobId, (events) => this.#hear(events));
  }

  /** The next events, at least one and in order; null once the job is final and everything has been handed out. */
  async next(): Promise<JobEvent[] | null> {
    while (!this.#closed) {
      const live = this.#takeLive();
      if (live.length > 0) {
        if (live.at(-1)?.kind === "completed") this.#ended = true;
        return this.#handOut(live);
      }
      if (this.#ended) return null;
      if (this.#mustRead) {
        this.#mustRead = false;
        const rows = await readPage(this.#engine, this.#jobId, this.#last);
        if (rows.length > 0) {
          this.#mustRead = true;
          return this.#handOut(rows);
        }
        if (await this.#isOver()) return null;
      }
      await this.#news();
    }
    return null;
  }

  close(): void {
    this.#closed = true;
    this.#unlisten();
    this.#wake?.();
  }

  #hear(events: JobEvent[] | null): void {
    if (events === null) this.#mustRead = true;
    else if (this.#buffer.length + events.length > bufferMax) {
      this.#buffer = [];
      this.#mustRead = true;
    } else this.#buffer.push(...events);
    this.#wake?.();
  }

  /** Live events that follow on directly; after a gap the database is asked. */
  #takeLive(): JobEvent[] {
    const fresh = this.#buffer.filter((event) => event.seq > this.#last);
    this.#buffer = [];
    const first = fresh[0];
    if (first === undefined) return [];
    if (first.seq === this.#last + 1 && isContiguous(fresh)) return fresh;
    this.#mustRead = true;
    return [];
  }

  /** After a page from the database there may be another; the end is only known from the job itself. */
  #handOut(events: JobEvent[]): JobEvent[] {
    this.#last = events.at(-1)?.seq ?? this.#last;
    return events;
  }

  async #isOver(): Promise<boolean> {
    const state = await readStatus(this.#engine.db.sql, this.#jobId);
    return state === null || (isFinal(state.status) && state.lastSeq <= this.#last);
  }

  async #news(): Promise<void> {
    if (this.#buffer.length > 0 || this.#mustRead || this.#closed) return;
    const poll = setTimeout(
      () => {
        this.#mustRead = true;
        this.#wake?.();
      },
      this.#engine.view.hasPeers ? pollEveryMs : pollAloneEveryMs,
    );
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    clearTimeout(poll);
    this.#wake = null;
  }
}

function isContiguous(events: JobEvent[]): boolean {
  return events.every((event, at) => at === 0 || event.seq === (events[at - 1]?.seq ?? 0) + 1);
}

import { createEventEncoder } from "../../src/http/event-encoder.ts";
import type { EventFeed } from "../../src/http/event-stream.ts";

export type TestEvent = { seq: number; data: string };

/** A feed that a test pushes into; `end` ends it once everything is handed out. */
export class PushFeed implements EventFeed<TestEvent> {
  isClosed = false;
  handedOut = 0;
  #waiting: TestEvent[] = [];
  #isEnded = false;
  #fault: Error | null = null;
  #wake: () => void = () => undefined;

  push(...events: TestEvent[]): void {
    this.#waiting.push(...events);
    this.#wake();
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  fail(fault: Error): void {
    this.#fault = fault;
    this.#wake();
  }

  async next(): Promise<TestEvent[] | null> {
    while (!this.isClosed) {
      if (this.#fault !== null) throw this.#fault;
      if (this.#waiting.length > 0) {
        this.handedOut += this.#waiting.length;
        return this.#waiting.splice(0);
      }
      if (this.#isEnded) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return null;
  }

  close(): void {
    this.isClosed = true;
    this.#wake();
  }
}

/** A feed that never ends: every call hands out `batch`. */
export class EndlessFeed implements EventFeed<TestEvent> {
  isClosed = false;
  calls = 0;
  readonly #batch: TestEvent[];

  constructor(batch: TestEvent[]) {
    this.#batch = batch;
  }

  async next(): Promise<TestEvent[] | null> {
    this.calls += 1;
    return this.isClosed ? null : this.#batch;
  }

  close(): void {
    this.isClosed = true;
  }
}

/** The encoder of test events, with a count of how often it was asked for an event anew. */
export function countingEncoder() {
  const counted = { encodings: 0 };
  const encoder = createEventEncoder<TestEvent>(({ seq, data }) => {
    counted.encodings += 1;
    return { id: seq, event: "output", data };
  });
  return { counted, encoder };
}

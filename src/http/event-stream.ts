import type { Pace } from "./pace.ts";

export type StreamFormat = "sse" | "ndjson";

/**
 * Where a stream's events come from. `next` waits for at least one event and hands out all that are there, in order;
 * null at the end. It is called again only when the reader has taken what it got, so a feed needs a bound on what it
 * keeps meanwhile. `close` ends a waiting `next`, and may be called twice.
 */
export interface EventFeed<E> {
  next(): Promise<E[] | null>;
  close(): void;
}

type Parts<E> = {
  feed: EventFeed<E>;
  encode: (event: E) => Uint8Array;
  format: StreamFormat;
  signal: AbortSignal;
  heartbeatMs: number;
  retryMs: number;
  /** Ends the connection of a reader that takes nothing: closing the stream would wait for it. */
  cut: () => void;
  pace: Pace;
  ended: () => void;
  failed: (fault: unknown) => void;
};

/**
 * Bytes handed to the connection at a time: all that this side holds for a reader beyond what the kernel buffers (up
 * to 4 MiB).
 */
const sliceBytesMax = 262_144;
const encoder = new TextEncoder();
const beats: Record<StreamFormat, Uint8Array> = { sse: encoder.encode(":\n\n"), ndjson: encoder.encode("\n") };

/** One reader of one feed. Pulled by the connection; never pushed into, so a slow reader holds no memory. */
export class EventStream<E> {
  readonly body: ReadableStream<Uint8Array>;
  readonly #parts: Parts<E>;
  readonly #heart: Timer;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** Events that were handed out and are not yet written. */
  #pending: E[] = [];
  #at = 0;
  /** The connection has room, and the stream waits for events. */
  #isWaiting = false;
  /** The reader has taken something since the last beat of the heart. */
  #hasMoved = true;
  #isOver = false;

  constructor(parts: Parts<E>) {
    this.#parts = parts;
    this.#heart = setInterval(() => this.#beat(), parts.heartbeatMs);
    parts.signal.addEventListener("abort", () => this.#finish(), { once: true });
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        if (parts.format === "sse") controller.enqueue(encoder.encode(`retry: ${parts.retryMs}\n\n`));
        if (parts.signal.aborted) this.#finish();
      },
      pull: () => this.#pull(),
      cancel: () => this.#finish(),
    });
  }

  /** Tells the reader to come back, and closes. */
  shutDown(): void {
    if (this.#isOver) return;
    if (this.#parts.format === "sse") this.#controller?.enqueue(encoder.encode(": the service is stopping\n\n"));
    if (!this.#isWaiting) this.#parts.cut();
    this.#close();
  }

  async #pull(): Promise<void> {
    this.#hasMoved = true;
    if (this.#isOver) return;
    while (!this.#isOver && this.#at >= this.#pending.length) await this.#fetch();
    if (!this.#isOver && this.#at < this.#pending.length) this.#controller?.enqueue(this.#slice());
  }

  /**
   * A feed that fails breaks the connection off, which readers take for what it is. The stream itself is not failed:
   * Bun would print the failure.
   */
  async #fetch(): Promise<void> {
    const tick = this.#parts.pace();
    if (tick !== null) await tick;
    this.#isWaiting = true;
    try {
      const events = this.#isOver ? null : await this.#parts.feed.next();
      if (events === null) this.#close();
      else [this.#pending, this.#at] = [events, 0];
    } catch (fault) {
      this.#breakOff();
      this.#parts.failed(fault);
    } finally {
      this.#isWaiting = false;
    }
  }

  #slice(): Uint8Array {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    while (this.#at < this.#pending.length && bytes < sliceBytesMax) {
      const event = this.#pending[this.#at++];
      if (event === undefined) continue;
      const chunk = this.#parts.encode(event);
      chunks.push(chunk);
      bytes += chunk.byteLength;
    }
    const [only] = chunks;
    return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
  }

  #beat(): void {
    if (this.#isWaiting) this.#controller?.enqueue(beats[this.#parts.format]);
    else if (!this.#hasMoved) this.#breakOff();
    this.#hasMoved = false;
  }

  #breakOff(): void {
    this.#finish();
    this.#parts.cut();
  }

  #close(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#controller?.close();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#heart);
    this.#parts.feed.close();
    this.#parts.ended();
  }
}

import type { Socket } from "bun";
import { type Order, orderLine, type Reply, readReply } from "./frames.ts";
import { LineReader } from "./lines.ts";
import { Outbox } from "./outbox.ts";
import { openSocket } from "./sockets.ts";

export type ConnectionEvents = {
  reply(reply: Reply): void;
  /** After the last `reply` of what came in at once. */
  pause(): void;
  /** The other end said something that is no reply. */
  breach(message: string): void;
  /** The other end has closed; everything it said has been told. */
  closed(): void;
};

/** Our ends of a function process's two sockets. */
export class Connection {
  readonly #outbox = new Outbox();
  readonly #lines: LineReader;
  readonly #events: ConnectionEvents;
  #replies: Socket | null = null;
  #holds = 0;
  #isEnding = false;
  #isClosed = false;

  constructor(lineBytesMax: number, events: ConnectionEvents) {
    this.#lines = new LineReader(lineBytesMax);
    this.#events = events;
  }

  /** Takes over both descriptors. Rejects when the system refuses one. */
  async open(ordersFd: number, repliesFd: number): Promise<void> {
    const ignore = () => undefined;
    this.#replies = await openSocket(repliesFd, {
      data: (chunk) => this.#read(chunk),
      drain: ignore,
      closed: () => this.#events.closed(),
    });
    this.#outbox.open(await openSocket(ordersFd, { data: ignore, drain: () => this.#outbox.drain(), closed: ignore }));
    if (this.#isClosed) this.close();
  }

  send(order: Order): void {
    this.#outbox.send(orderLine(order));
  }

  /** Reads no more until the promise settles, or until `readToEnd`. */
  holdUntil(settled: Promise<void>): void {
    if (this.#isEnding) return;
    this.#holds += 1;
    this.#replies?.pause();
    const release = () => {
      this.#holds -= 1;
      if (this.#holds === 0 && !this.#isClosed) this.#replies?.resume();
    };
    void settled.then(release, release);
  }

  /** Reads what is left without a pause: the process is ending, so it is not much. */
  readToEnd(): void {
    this.#isEnding = true;
    if (!this.#isClosed) this.#replies?.resume();
  }

  /** Tells the process that nothing more will come. What it says is still heard. */
  hangUp(): void {
    this.#outbox.close();
  }

  close(): void {
    this.#isClosed = true;
    this.#outbox.close();
    this.#replies?.end();
  }

  #read(chunk: Buffer): void {
    const lines = this.#lines.push(chunk);
    if (lines === null) this.#events.breach("The function's process sent a message that is too large");
    for (const line of lines ?? []) {
      const reply = readReply(line);
      if (reply === null) this.#events.breach("The function wrote into the connection of its process");
      else this.#events.reply(reply);
    }
    this.#events.pause();
  }
}

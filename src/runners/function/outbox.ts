import type { Socket } from "bun";

/**
 * Sends lines over a socket that may take only a part at a time. Lines of one turn of the event loop go out together: each
 * write wakes the other end, which on a busy machine takes the processor from whoever writes.
 */
export class Outbox {
  #lines: string[] = [];
  #unsent: Buffer | null = null;
  #socket: Socket | null = null;
  #isFlushing = false;

  open(socket: Socket): void {
    this.#socket = socket;
    this.drain();
  }

  send(line: string): void {
    this.#lines.push(line);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.drain();
    });
  }

  /** Call when the socket can take more. */
  drain(): void {
    if (this.#socket === null) return;
    const bytes = this.#gathered();
    if (bytes === null) return;
    const written = Math.max(0, this.#socket.write(bytes));
    this.#unsent = written < bytes.length ? bytes.subarray(written) : null;
  }

  close(): void {
    this.drain();
    this.#socket?.end();
    this.#socket = null;
  }

  #gathered(): Buffer | null {
    if (this.#lines.length === 0) return this.#unsent;
    const lines = Buffer.from(this.#lines.length === 1 ? (this.#lines[0] ?? "") : this.#lines.join(""));
    this.#lines = [];
    return this.#unsent === null ? lines : Buffer.concat([this.#unsent, lines]);
  }
}

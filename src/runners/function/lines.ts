const lineEnd = 0x0a;

/** Puts lines together from chunks of bytes. Holds at most `bytesMax` of an unfinished one. */
export class LineReader {
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(readonly bytesMax: number) {}

  /** The lines that are complete now, without their ends; null when an unfinished one has grown too long. */
  push(chunk: Buffer): string[] | null {
    const end = chunk.lastIndexOf(lineEnd);
    if (end < 0) return this.#hold(chunk) ? [] : null;
    const text = this.#bytes === 0 ? chunk.toString("utf8", 0, end) : this.#joined(chunk.subarray(0, end));
    return end + 1 === chunk.length || this.#hold(chunk.subarray(end + 1)) ? text.split("\n") : null;
  }

  #joined(last: Buffer): string {
    const text = Buffer.concat([...this.#parts, last]).toString();
    this.#parts = [];
    this.#bytes = 0;
    return text;
  }

  #hold(part: Buffer): boolean {
    this.#bytes += part.length;
    // A copy, since the chunk is the socket's to use again.
    this.#parts.push(Buffer.from(part));
    return this.#bytes <= this.bytesMax;
  }
}

import { closeSync, read } from "node:fs";

/** Buffers that are used in turn. A chunk stays valid until `count - 1` more have been read. */
export type Pool = { next(): Buffer };

export function createPool(options: { count: number; chunkBytes: number }): Pool {
  const buffers: Buffer[] = [];
  let turn = 0;
  return {
    next() {
      turn = (turn + 1) % options.count;
      const buffer = buffers[turn] ?? Buffer.allocUnsafeSlow(options.chunkBytes);
      buffers[turn] = buffer;
      return buffer;
    },
  };
}

type Span = { start: number; length: number; pool: Pool };

/** Reads a descriptor from `start` for at most `length` bytes; ends early when the file does. Closes it in every case. */
export async function* chunksOf(fd: number, span: Span): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  try {
    yield* readChunks(fd, span);
  } finally {
    closeSync(fd);
  }
}

/** The same for a descriptor that stays open. */
export async function* readChunks(fd: number, span: Span): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let position = span.start;
  const end = span.start + span.length;
  while (position < end) {
    const buffer = span.pool.next();
    const bytes = await readSome(fd, buffer, { length: Math.min(buffer.length, end - position), position });
    if (bytes === 0) return;
    position += bytes;
    yield new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, bytes);
  }
}

function readSome(fd: number, buffer: Buffer, at: { length: number; position: number }): Promise<number> {
  return new Promise((resolve, reject) =>
    read(fd, buffer, 0, at.length, at.position, (fault, bytes) => (fault ? reject(fault) : resolve(bytes))),
  );
}

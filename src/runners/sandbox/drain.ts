import { readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

const readBytes = 65_536;
/** A flood may not keep the event loop busy: after this much in a row it waits. */
const burstBytes = 1_048_576;
const pauseMinMs = 2;
const pauseMaxMs = 40;

/** Takes the bytes at once (the buffer is used again, and may be changed) and may ask for time with a promise. Must not throw. */
export type ByteConsumer = (bytes: Uint8Array) => void | Promise<void>;

export type Drain = {
  /** Reads what is left once every writer is gone, and stops. Rejects with what the consumer threw, if it did. */
  finish(): Promise<void>;
  /** Never touches the channel again, so that it may be closed. */
  abandon(): void;
};

/** Hands on what arrives at a channel, in order, never more than one chunk ahead of the consumer. */
export function drainChannel(reader: number, consume: ByteConsumer): Drain {
  const buffer = new Uint8Array(readBytes);
  const wake = Promise.withResolvers<void>();
  let isFinishing = false;
  let isAbandoned = false;
  const loop = async () => {
    let pauseMs = pauseMinMs;
    let inARow = 0;
    while (!isAbandoned) {
      const isLast = isFinishing;
      const count = readNow(reader, buffer);
      if (count === 0 && isLast) return;
      if (count > 0) await consume(buffer.subarray(0, count));
      inARow = count === 0 ? 0 : inARow + count;
      pauseMs = count > 0 ? pauseMinMs : Math.min(pauseMs * 2, pauseMaxMs);
      if (count > 0 && inARow < burstBytes) await setImmediate();
      else await Promise.race([Bun.sleep(pauseMs), ...(isFinishing ? [] : [wake.promise])]);
      if (inARow >= burstBytes) inARow = 0;
    }
  };
  const ended = loop().then(
    () => null,
    (fault: unknown) => ({ fault }),
  );
  return {
    finish: async () => {
      isFinishing = true;
      wake.resolve();
      const failed = await ended;
      if (failed !== null) throw failed.fault;
    },
    abandon: () => {
      isAbandoned = true;
      wake.resolve();
    },
  };
}

function readNow(reader: number, buffer: Uint8Array): number {
  try {
    return readSync(reader, buffer);
  } catch (fault) {
    if (fault instanceof Error && "code" in fault && fault.code === "EAGAIN") return 0;
    throw fault;
  }
}

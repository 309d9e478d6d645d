import { writeSync } from "node:fs";
import { type Order, type Reply, replyLine } from "./frames.ts";

const ordersFd = 3;
const repliesFd = 4;
// Taken before any function is loaded, as in frames.ts.
const write = writeSync;
const { parse } = JSON;

/** Tells the server something. Returns when the kernel has it; waits while the server is slow to read. */
export function say(reply: Reply): void {
  const bytes = Buffer.from(replyLine(reply));
  let written = 0;
  while (written < bytes.length) written += write(repliesFd, bytes, written);
}

/** Hands over orders as they come in; `onClosed` is called when the server is gone or wants this process gone. */
export async function listen(onOrder: (order: Order) => void, onClosed: () => void): Promise<void> {
  let parts: Buffer[] = [];
  const data = (_socket: unknown, chunk: Buffer) => {
    const end = chunk.lastIndexOf(0x0a);
    if (end < 0) {
      parts.push(Buffer.from(chunk));
      return;
    }
    const lines = Buffer.concat([...parts, chunk.subarray(0, end)]).toString();
    parts = end + 1 < chunk.length ? [Buffer.from(chunk.subarray(end + 1))] : [];
    for (const line of lines.split("\n")) onOrder(parse(line) as Order);
  };
  // `fd` is documented for sockets, and missing from the types of `connect`.
  const options = { fd: ordersFd, socket: { data, close: onClosed, end: onClosed, error: onClosed } };
  await Bun.connect(options as unknown as Bun.UnixSocketOptions);
}

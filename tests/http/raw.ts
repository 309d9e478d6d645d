/** What came back on a raw connection. `status` is 0 when nothing was answered. */
export type RawAnswer = { status: number; text: string; isClosed: boolean };

/**
 * Sends bytes as they are and collects what comes back until the peer closes, a whole answer is there, or `maxMs` is
 * over. `parts` are sent one after the other, each in a packet of its own.
 */
export async function sendRaw(port: number, parts: (string | Uint8Array)[], maxMs = 3_000): Promise<RawAnswer> {
  const chunks: Uint8Array[] = [];
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, maxMs, false);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, data) => {
        chunks.push(Uint8Array.from(data));
        if (isWhole(textOf(chunks))) resolve(false);
      },
      close: () => resolve(true),
      error: () => resolve(true),
    },
  });
  for (const part of parts) {
    socket.write(typeof part === "string" ? Buffer.from(part, "latin1") : part);
    socket.flush();
    if (parts.length > 1) await Bun.sleep(5);
  }
  const isClosed = await promise;
  clearTimeout(timer);
  socket.terminate();
  const text = textOf(chunks);
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0), text, isClosed };
}

function textOf(chunks: Uint8Array[]): string {
  return Buffer.concat(chunks).toString("latin1");
}

/** Whether the text holds an answer with a body as long as it says. */
function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
  return end !== -1 && length !== undefined && text.length >= end + 4 + Number(length);
}

import type { LogLevel } from "../../log.ts";
import { pieces } from "./pieces.ts";
import type { Work } from "./work.ts";

const lineCharsMax = 8_000;

/**
 * Reads a process's stdout or stderr to its end: text that went around the console, such as the runtime's own words, other
 * programs and other threads. It belongs to the work that runs when it arrives, else to nobody.
 */
export async function followOutput(
  stream: ReadableStream<Uint8Array>,
  level: LogLevel,
  running: () => Work | undefined,
  onStray: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const work = running();
    // Read all the same: a full pipe would block the function.
    if (work?.isFull === true) continue;
    const text = decoder.decode(chunk, { stream: true }).replace(/\n$/, "");
    for (const piece of pieces(text, lineCharsMax)) {
      if (work === undefined) onStray(piece);
      else work.log(level, piece);
    }
    work?.flush();
  }
}

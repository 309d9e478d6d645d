const bytesPerMb = 1_048_576;
/** The tail is held in memory until the end of the run. */
const tailBytesMax = bytesPerMb;
const pieceBytesMin = 16_384;

export type OutputCap = {
  /** What is to be shown now; the rest waits as part of the tail or is left out. */
  push(text: string): string;
  /** Whether nothing more is shown before the end. */
  isFull(): boolean;
  /** Counts something that is shown elsewhere; false, and not counted, when the head is full. */
  spend(text: string): boolean;
  /** The kept end, and what was left out before it; null when nothing was. */
  end(): { tail: string[]; cut: OutputCut | null };
};
export type OutputCut = { bytes: number; lines: number };

/** Keeps the first and the last of `capMb` MiB of text, the last at most one. */
export function createOutputCap(capMb: number): OutputCap {
  const tailMax = Math.min(tailBytesMax, (capMb * bytesPerMb) / 4);
  const tail = createTail(tailMax);
  let headLeft = capMb * bytesPerMb - tailMax;
  return {
    isFull: () => headLeft <= 0,
    spend: (text) => {
      if (headLeft <= 0) return false;
      headLeft -= Buffer.byteLength(text);
      return true;
    },
    push: (text) => {
      const head = headLeft <= 0 ? "" : firstBytes(text, headLeft);
      headLeft -= Buffer.byteLength(head);
      if (head.length === text.length) return head;
      headLeft = 0;
      tail.add(text.slice(head.length));
      return head;
    },
    end: () => tail.end(),
  };
}

function createTail(bytesMax: number) {
  const pieces: { text: string; bytes: number }[] = [];
  const cut: OutputCut = { bytes: 0, lines: 0 };
  let held = 0;
  const dropFirst = () => {
    const first = pieces.shift();
    if (first === undefined) return;
    held -= first.bytes;
    cut.bytes += first.bytes;
    cut.lines += lineEndsIn(first.text);
  };
  return {
    add: (text: string) => {
      const bytes = Buffer.byteLength(text);
      const last = pieces.at(-1);
      // Few large pieces, since a script may write byte by byte.
      if (last === undefined || last.bytes >= pieceBytesMin) pieces.push({ text, bytes });
      else pieces[pieces.length - 1] = { text: last.text + text, bytes: last.bytes + bytes };
      held += bytes;
      while (pieces.length > 1 && held > bytesMax) dropFirst();
    },
    end: () => ({ tail: pieces.map(({ text }) => text), cut: cut.bytes === 0 ? null : cut }),
  };
}

function lineEndsIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** The start of the text that fits, cut between characters. */
function firstBytes(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

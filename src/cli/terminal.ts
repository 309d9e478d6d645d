import { createStyles, type Styles } from "./styles.ts";

/** Data goes to stdout, talk to stderr. */
export type Terminal = {
  /** Writes data as it is. Resolves once it is handed over; rejects with EPIPE when the reader has left. */
  out(data: string | Uint8Array): Promise<void>;
  /** Writes text to stderr as it is. Resolves once it is handed over, or nobody reads it any more. */
  err(text: string): Promise<void>;
  /** A line of talk. */
  say(line: string): void;
  /** The line at the bottom that is written over by the next one; null takes it away. Shown to people alone. */
  status(line: string | null): void;
  /** Somebody is watching stderr. */
  isWatched: boolean;
  /** Characters in a line of a table, without bound when stdout is no terminal. */
  columns: number;
  /** Resolves once all talk is handed over: before the process ends. */
  settled(): Promise<void>;
  /** For stdout, and for talk. */
  data: Styles;
  talk: Styles;
};

const eraseLine = "\r\u001b[K";

export function createTerminal({ color }: { color: boolean }): Terminal {
  const [writer, talkWriter] = [Bun.stdout.writer(), Bun.stderr.writer()];
  const isWatched = process.stderr.isTTY === true;
  const isShown = process.stdout.isTTY === true;
  let hasStatus = false;
  let talking = Promise.resolve();
  const tell = (text: string) => {
    talkWriter.write(text);
    talking = ignoringLostReader(talkWriter.flush());
    return talking;
  };
  const status = (line: string | null) => {
    if (!isWatched || (line === null && !hasStatus)) return;
    hasStatus = line !== null;
    void tell(`${eraseLine}${(line ?? "").slice(0, (process.stderr.columns || 80) - 1)}`);
  };
  return {
    out: async (data) => {
      if (isShown) status(null);
      writer.write(data);
      await writer.flush();
    },
    err: (text) => {
      status(null);
      return tell(text);
    },
    say: (line) => {
      status(null);
      void tell(`${line}\n`);
    },
    status,
    isWatched,
    settled: () => talking,
    columns: isShown ? process.stdout.columns || 80 : Number.POSITIVE_INFINITY,
    data: createStyles(color && isShown),
    talk: createStyles(color && isWatched),
  };
}

async function ignoringLostReader(written: number | Promise<number>): Promise<void> {
  try {
    await written;
  } catch (fault) {
    // Talk that nobody listens to is no reason to stop.
    if (!(fault instanceof Error && "code" in fault && fault.code === "EPIPE")) throw fault;
  }
}

import { createStyles, type Styles } from "./styles.ts";

/** Data goes to stdout, talk to stderr. */
export type Terminal = {
  /** Writes data as it is. Resolves once it is handed over; rejects with EPIPE when the reader has left. */
  out(data: string | Uint8Array): Promise<void>;
  /** Writes text to stderr as it is. */
  err(text: string): void;
  /** A line of talk. */
  say(line: string): void;
  /** The line at the bottom that is written over by the next one; null takes it away. Shown to people alone. */
  status(line: string | null): void;
  /** Somebody is watching stderr. */
  isWatched: boolean;
  /** Characters in a line of a table, without bound when stdout is no terminal. */
  columns: number;
  /** For stdout, and for talk. */
  data: Styles;
  talk: Styles;
};

const eraseLine = "\r\u001b[K";

export function createTerminal({ color }: { color: boolean }): Terminal {
  const writer = Bun.stdout.writer();
  const isWatched = process.stderr.isTTY === true;
  const isShown = process.stdout.isTTY === true;
  let hasStatus = false;
  const err = (text: string) => void process.stderr.write(text);
  const status = (line: string | null) => {
    if (!isWatched || (line === null && !hasStatus)) return;
    hasStatus = line !== null;
    err(`${eraseLine}${(line ?? "").slice(0, (process.stderr.columns ?? 80) - 1)}`);
  };
  return {
    out: async (data) => {
      if (isShown) status(null);
      writer.write(data);
      await writer.flush();
    },
    err: (text) => {
      status(null);
      err(text);
    },
    say: (line) => {
      status(null);
      err(`${line}\n`);
    },
    status,
    isWatched,
    columns: isShown ? process.stdout.columns || 80 : Number.POSITIVE_INFINITY,
    data: createStyles(color && isShown),
    talk: createStyles(color && isWatched),
  };
}

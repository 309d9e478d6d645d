/** What Ctrl-C means to a command that watches: once is one thing, twice another; the third time ends the process. */
export type Interrupts = { first: AbortSignal; second: AbortSignal; close(): void };

export function watchInterrupts(onInterrupt: (listener: () => void) => () => void): Interrupts {
  const [first, second] = [new AbortController(), new AbortController()];
  const forget = onInterrupt(() => {
    if (!first.signal.aborted) return first.abort(new Interrupted());
    second.abort(new Interrupted());
    forget();
  });
  return { first: first.signal, second: second.signal, close: forget };
}

/** Ctrl-C ended what was going on. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  constructor() {
    super("interrupted");
  }
}

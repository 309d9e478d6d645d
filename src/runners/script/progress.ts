import type { RunSink } from "../contract.ts";

const everyMs = 100;

export type ProgressReporter = {
  report(fraction: number, text: string | null): void;
  /** Says the last step that was held back. */
  end(): void;
};

/** Passes on at most ten steps a second; the latest always arrives. */
export function createProgressReporter(sink: RunSink): ProgressReporter {
  let waiting: { fraction: number; text: string | null } | null = null;
  let timer: Timer | null = null;
  const say = () => {
    timer = null;
    if (waiting === null) return;
    const { fraction, text } = waiting;
    waiting = null;
    sink.progress(fraction, ...(text === null ? [] : [text]));
    timer = setTimeout(say, everyMs);
  };
  return {
    report: (fraction, text) => {
      waiting = { fraction, text };
      if (timer === null) say();
    },
    end: () => {
      if (timer !== null) clearTimeout(timer);
      say();
      if (timer !== null) clearTimeout(timer);
    },
  };
}

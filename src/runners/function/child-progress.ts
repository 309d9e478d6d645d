export type ChildProgress = {
  report(fraction: number, text?: string): void;
  /** Sends what was held back. */
  flush(): void;
};

// Ten a second is as fast as anybody can look, and bounds the events of a tight loop.
const gapMs = 100;

/** Thins out progress: the first at once, then the latest every `gapMs`. */
export function childProgress(send: (fraction: number, text: string | null) => void): ChildProgress {
  let held: { fraction: number; text: string | null } | null = null;
  let sentAtMs = Number.NEGATIVE_INFINITY;
  let timer: Timer | null = null;
  const flush = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (held === null) return;
    const { fraction, text } = held;
    held = null;
    sentAtMs = performance.now();
    send(fraction, text);
  };
  const report = (fraction: number, text?: string) => {
    held = { fraction: clamped(fraction), text: text === undefined ? null : String(text).slice(0, textCharsMax) };
    const waitMs = sentAtMs + gapMs - performance.now();
    if (waitMs <= 0) flush();
    else timer ??= setTimeout(flush, waitMs);
  };
  return { report, flush };
}

const textCharsMax = 2_000;

function clamped(fraction: number): number {
  return Number.isFinite(fraction) ? Math.min(Math.max(fraction, 0), 1) : 0;
}

const bytesPerUnit = 1_000;
const units = ["B", "kB", "MB", "GB", "TB"];

/** `1.5 MB`. */
export function shownBytes(bytes: number): string {
  let [value, at] = [bytes, 0];
  while (value >= bytesPerUnit && at < units.length - 1) {
    value /= bytesPerUnit;
    at++;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** `850 ms`, `1.5 s`, `3 min`, `2 h`, `4 d`. */
export function shownDuration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const s = ms / 1_000;
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 3_600) return `${Math.round(s / 60)} min`;
  return s < 86_400 ? `${Math.round(s / 3_600)} h` : `${Math.round(s / 86_400)} d`;
}

/** Text of others on one line: what would move the cursor or end the line is shown as U+FFFD. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, "\ufffd");
}

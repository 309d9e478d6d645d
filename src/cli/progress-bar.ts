import { shownBytes } from "./shown.ts";
import type { Terminal } from "./terminal.ts";

const barChars = 24;
const redrawEveryMs = 100;

/** Shows how many of `total` bytes are done, to people alone. Call it with null at the end. */
export function createProgressBar(terminal: Terminal, what: string, total: number): (bytes: number | null) => void {
  let drawnAtMs = 0;
  return (bytes) => {
    if (bytes === null) return terminal.status(null);
    if (Date.now() - drawnAtMs < redrawEveryMs) return;
    drawnAtMs = Date.now();
    const fraction = total === 0 ? 1 : Math.min(1, bytes / total);
    const filled = Math.round(fraction * barChars);
    const bar = `${"#".repeat(filled)}${".".repeat(barChars - filled)}`;
    const percent = String(Math.floor(fraction * 100)).padStart(3);
    terminal.status(`${what} [${bar}] ${percent} %  ${shownBytes(bytes)} of ${shownBytes(total)}`);
  };
}

import { plain } from "./shown.ts";
import type { Terminal } from "./terminal.ts";

const gap = "  ";

/** Rows under a head, in columns as wide as they need to be; cut at the end of the line where somebody is watching. */
export function table(terminal: Terminal, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map(plain));
  const widths = head.map((_, at) => Math.max(...all.map((row) => Bun.stringWidth(row[at] ?? ""))));
  const lines = all.map((row) =>
    row
      .map((cell, at) => `${cell}${" ".repeat(Math.max(0, (widths[at] ?? 0) - Bun.stringWidth(cell)))}`)
      .join(gap)
      .trimEnd(),
  );
  const [first = "", ...more] = lines.map((line) => cut(line, terminal.columns));
  return [terminal.data.bold(first), ...more, ""].join("\n");
}

/** Names and values, one pair a line. */
export function pairs(terminal: Terminal, entries: readonly (readonly [string, string | null | undefined])[]): string {
  const shown = entries.filter((entry): entry is readonly [string, string] => Boolean(entry[1]));
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${terminal.data.dim(name.padEnd(width))}${gap}${plain(value)}\n`).join("");
}

function cut(line: string, columns: number): string {
  return line.length > columns ? `${line.slice(0, columns - 1)}…` : line;
}

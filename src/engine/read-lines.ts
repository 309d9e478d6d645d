import type { JobEvent } from "./hub.ts";

/** One line as `linesJson` writes it, up to its data. */
const head = /[[,]\{"k":"([^"]*)","t":(\d+),(?:"at":"([^"]*)",)?"d":/y;
const stringOrBracket = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/g;

/**
 * The events of a row whose last one is numbered `lastSeq`. Their data is cut out as it stands: read as JSON and written
 * again numbers would lose digits, and Postgres itself cannot look into JSON with `\u0000`.
 */
export function readLines(lastSeq: number, rowAt: string, text: string): JobEvent[] {
  const events: JobEvent[] = [];
  for (let at = 0; at < text.length - 1;) {
    head.lastIndex = at;
    const found = head.exec(text);
    if (found === null) throw new Error(`the events up to number ${lastSeq} are not written as lines`);
    const end = endOfObject(text, head.lastIndex);
    const [, kind = "", task = "0", ownAt = rowAt] = found;
    events.push({ seq: 0, task: Number(task), at: ownAt, kind, data: text.slice(head.lastIndex, end) });
    // Past the brace that closes the line.
    at = end + 1;
  }
  for (const [offset, event] of events.entries()) event.seq = lastSeq - events.length + 1 + offset;
  return events;
}

function endOfObject(text: string, start: number): number {
  stringOrBracket.lastIndex = start;
  for (let depth = 0; ;) {
    const token = stringOrBracket.exec(text)?.[0];
    if (token === undefined) throw new Error("the data of an event is not closed");
    if (token === "{" || token === "[") depth++;
    if (token === "}" || token === "]") depth--;
    if (depth === 0) return stringOrBracket.lastIndex;
  }
}

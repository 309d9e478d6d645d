import { type Directive, mayBeDirective, parseDirective } from "./directives.ts";

/** A longer line is text, whatever it starts with. */
const directiveCharsMax = 4_096;

export type LineReader = {
  /** The next piece of output, cut anywhere. */
  push(text: string): void;
  /** Nothing follows: a line without an end is a line all the same. */
  end(): void;
  /** Takes back the start of a line that was waited for. */
  release(): string;
};

/** Takes directives out of a stream of text. Everything else goes on at once, also before its line is complete. */
export function createLineReader(
  onText: (text: string) => void,
  onDirective: (directive: Directive) => void,
): LineReader {
  let held = "";
  let isLineStart = true;
  const pass = (text: string) => {
    if (text === "") return;
    isLineStart = text.endsWith("\n");
    onText(text);
  };
  const takeLine = (line: string, end: string) => {
    const directive = parseDirective(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (directive === null) pass(line + end);
    else onDirective(directive);
  };
  return {
    push: (text) => {
      let rest = held + text;
      held = "";
      while (rest !== "") {
        if (!isLineStart || !mayBeDirective(rest)) {
          const upTo = nextCandidate(rest);
          pass(rest.slice(0, upTo));
          rest = rest.slice(upTo);
          continue;
        }
        const end = rest.indexOf("\n");
        if (end === -1 && rest.length <= directiveCharsMax) {
          held = rest;
          return;
        }
        if (end === -1) pass(rest);
        else takeLine(rest.slice(0, end), "\n");
        rest = end === -1 ? "" : rest.slice(end + 1);
      }
    },
    end: () => {
      if (held !== "") takeLine(held, "");
      held = "";
    },
    release: () => {
      const text = held;
      held = "";
      return text;
    },
  };
}

/** Where the next line starts that could be a directive; the end when there is none. */
function nextCandidate(text: string): number {
  for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", end + 1)) {
    if (text[end + 1] === ":" && mayBeDirective(text.slice(end + 1, end + 1 + directiveCharsMax))) return end + 1;
  }
  return text.length;
}

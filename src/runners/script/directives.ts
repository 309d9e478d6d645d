/** What a script says to the engine on a line of its own. */
export type Directive =
  | { kind: "progress"; fraction: number; text: string | null }
  | { kind: "log"; level: "debug" | "info" | "warn" | "error"; text: string };

const words = ["::progress", "::log"];
const progress = /^::progress[ \t]+(\d+(?:\.\d*)?|\.\d+)(%?)(?:[ \t]+(.*))?$/;
const log = /^::log(?:[ \t]+(debug|info|warn|warning|error))?[ \t]+(\S.*)$/;

/** `::progress 0.4 text` (or `40%`) and `::log warn text` (or `::log text`); null for any other line. */
export function parseDirective(line: string): Directive | null {
  const step = progress.exec(line);
  if (step !== null) {
    const [, number = "0", percent, text] = step;
    const fraction = Math.min(1, Number(number) / (percent === "%" ? 100 : 1));
    return { kind: "progress", fraction, text: text?.trim() || null };
  }
  const said = log.exec(line);
  if (said === null) return null;
  const [, level = "info", text = ""] = said;
  return { kind: "log", level: levelOf(level), text: text.trimEnd() };
}

/** Whether a line that starts like this may still turn out to be a directive. */
export function mayBeDirective(start: string): boolean {
  return words.some((word) => (start.length < word.length ? word.startsWith(start) : start.startsWith(word)));
}

function levelOf(word: string): "debug" | "info" | "warn" | "error" {
  switch (word) {
    case "debug":
    case "warn":
    case "error":
      return word;
    case "warning":
      return "warn";
    default:
      return "info";
  }
}

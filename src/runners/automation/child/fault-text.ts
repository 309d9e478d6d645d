import { AutomationFault } from "../automation-fault.ts";

const charsMax = 600;
const callLogLinesMax = 4;

/** What went wrong in one line: the browser's errors without colours, frames and the long account of every try. */
export function faultText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown).slice(0, charsMax);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours start with ESC
  const plain = thrown.message.replaceAll(/\u001b\[[0-9;]*m/g, "");
  if (thrown instanceof AutomationFault) return plain.slice(0, charsMax);
  const [head = "", callLog = ""] = plain.split(/\n+Call log:\n/);
  const tries = callLog
    .split("\n")
    .map((line) => line.replace(/^[\s-]+/, "").trim())
    .filter((line) => line !== "");
  const account = tries.length === 0 ? "" : ` (${[...new Set(tries)].slice(0, callLogLinesMax).join("; ")})`;
  return (
    head
      .trim()
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .join(" ") + account
  ).slice(0, charsMax);
}

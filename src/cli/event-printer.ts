import type { JobEvent } from "../client.ts";
import { plain } from "./shown.ts";
import type { Terminal } from "./terminal.ts";

/** Shows the events of a job as they come. */
export type EventPrinter = (event: JobEvent) => Promise<void>;

/** Every event as a line of JSON on stdout. */
export function jsonPrinter(terminal: Terminal): EventPrinter {
  return (event) => terminal.out(`${JSON.stringify(event)}\n`);
}

/**
 * Output goes where the job sent it, stdout or stderr; what is said about the job goes to stderr. `outputTo: "talk"` keeps stdout free
 * for something else.
 */
export function textPrinter(terminal: Terminal, options: { outputTo?: "talk" } = {}): EventPrinter {
  return async (event) => {
    if (event.kind !== "output") return tell(event, terminal);
    await (event.stream === "stderr" || options.outputTo === "talk"
      ? terminal.err(event.text)
      : terminal.out(event.text));
  };
}

function tell(event: Exclude<JobEvent, { kind: "output" }>, terminal: Terminal): void {
  // The end and the result are told from the job, which knows more.
  if (event.kind === "log") tellLog(event, terminal);
  else if (event.kind === "progress") tellProgress(event, terminal);
  else if (event.kind === "status") tellStatus(event, terminal);
}

function tellLog({ level, text }: Extract<JobEvent, { kind: "log" }>, terminal: Terminal): void {
  const { dim, bold, yellow, red } = terminal.talk;
  const paint = { debug: dim, info: bold, warn: yellow, error: red }[level];
  terminal.say(`${paint(level)}: ${text}`);
}

function tellProgress({ fraction, text }: Extract<JobEvent, { kind: "progress" }>, terminal: Terminal): void {
  const line = `${String(Math.round(fraction * 100)).padStart(3)} %${text === undefined ? "" : `  ${plain(text)}`}`;
  if (terminal.isWatched) terminal.status(line);
  else terminal.say(line);
}

/** The first start is what everybody expects; what goes on after it is news. */
function tellStatus(event: Extract<JobEvent, { kind: "status" }>, terminal: Terminal): void {
  if (event.status === "running" && (event.attempt ?? 1) > 1) terminal.say(`running, attempt ${event.attempt}`);
  if (event.status !== "queued" || event.reason === undefined) return;
  const pause = event.delay_s === undefined ? "" : `, in ${event.delay_s} s`;
  terminal.say(`queued again (${event.reason}${event.error === undefined ? "" : `: ${event.error.message}`})${pause}`);
}

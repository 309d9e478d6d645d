import type { Claimed } from "../engine/claimed.ts";
import type { Appender } from "../engine/events.ts";
import type { NewEvent } from "../engine/history.ts";
import type { RunSink } from "../runners/contract.ts";

/** What a run reports in its first moments may go out with its end, which spares a short one a write of its own. */
const firstWriteDelayMs = 5;
/** Output of more characters than this is split over several events. */
const chunkCharsMax = 16_384;
/** With this much unwritten the run is asked to pause. */
const pendingCharsMax = 262_144;
const logCharsMax = 8_192;
const progressTextCharsMax = 500;

export type PendingEvent = NewEvent & { at: string };
type Pending = PendingEvent;

export type EventSink = RunSink & {
  /** What has been reported and is not yet on its way, once all that is has been committed: to be written with the run's end. */
  rest(): Promise<PendingEvent[]>;
};

/** Collects what a run reports and appends it in groups: what arrives during one write goes out with the next. */
export function createSink(task: Claimed, appender: Appender, onFault: (fault: unknown) => void): EventSink {
  let pending: Pending[] = [];
  let pendingChars = 0;
  let writing: Promise<void> | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let delayMs = firstWriteDelayMs;

  function add(kind: string, data: Record<string, unknown>, chars: number): void {
    pending.push({ kind, task: task.index, at: new Date().toISOString(), data: JSON.stringify(data) });
    pendingChars += chars;
    if (writing !== null) return;
    if (pendingChars > pendingCharsMax) begin();
    else timer ??= setTimeout(begin, delayMs);
  }

  function begin(): void {
    stopTimer();
    delayMs = 0;
    writing ??= write();
  }

  function stopTimer(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  }

  async function write(): Promise<void> {
    while (pending.length > 0) {
      const group = pending;
      pending = [];
      pendingChars = 0;
      await appender.append(task, joined(group)).catch(onFault);
    }
    writing = null;
  }

  return {
    log: (level, text) => add("log", { level, text: clean(text.slice(0, logCharsMax)) }, text.length),
    output(stream, text) {
      for (let at = 0; at < text.length; at += chunkCharsMax)
        add("output", { stream, text: text.slice(at, at + chunkCharsMax) }, chunkCharsMax);
      if (pendingChars > pendingCharsMax && writing !== null) return writing;
      return undefined;
    },
    progress(fraction, text) {
      if (!Number.isFinite(fraction)) return;
      const value = Math.min(1, Math.max(0, fraction));
      add(
        "progress",
        { fraction: value, ...(text === undefined ? {} : { text: clean(text.slice(0, progressTextCharsMax)) }) },
        64,
      );
    },
    async rest() {
      while (writing !== null) await writing;
      stopTimer();
      const events = joined(pending);
      pending = [];
      pendingChars = 0;
      return events;
    },
  };
}

/** Neighbouring pieces of one stream become one event. */
function joined(events: Pending[]): Pending[] {
  const out: Pending[] = [];
  for (const event of events) {
    const last = out.at(-1);
    const merged = last === undefined ? null : merge(last, event);
    if (merged === null) out.push(event);
    else out[out.length - 1] = merged;
  }
  return out;
}

function merge(last: Pending, event: Pending): Pending | null {
  if (last.kind !== "output" || event.kind !== "output") return null;
  if (last.data.length + event.data.length > chunkCharsMax) return null;
  const first: { stream: string; text: string } = JSON.parse(last.data);
  const second: { stream: string; text: string } = JSON.parse(event.data);
  if (first.stream !== second.stream) return null;
  return { ...last, data: JSON.stringify({ stream: first.stream, text: first.text + second.text }) };
}

/** Control characters other than line ends and tabs would garble whoever shows the line. */
function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, "\ufffd");
}

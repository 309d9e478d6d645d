import { isPassingFault } from "../db/client.ts";
import type { Claimed } from "../engine/claimed.ts";
import type { Appender } from "../engine/events.ts";
import type { TimedEvent } from "../engine/history.ts";
import type { RunSink } from "../runners/contract.ts";

/** What a run reports in its first moments may go out with its end, which spares a short one a write of its own. */
const firstWriteDelayMs = 5;
/** Output of more characters than this is split over several events. */
const chunkCharsMax = 16_384;
/** With this much unwritten the run is asked to pause. */
const pendingCharsMax = 262_144;
/** What cannot be asked to pause is dropped from here on: the database is away for long, or the run floods its log. */
const keptCharsMax = 8 * 1_048_576;
const logCharsMax = 8_192;
const progressTextCharsMax = 500;
/** About what a line takes besides its text. */
const lineChars = 64;
const retryFirstMs = 100;
const retryMaxMs = 2_000;

export type EventSink = RunSink & {
  /** What has been reported and is not yet on its way, once all that is has been committed: to be written with the run's end. What comes later is dropped. */
  rest(): Promise<TimedEvent[]>;
};

export type SinkReport = {
  /** Events could not be written and are lost. */
  onFault(fault: unknown): void;
  /** The run no longer owns its task. */
  onFenced(): void;
};

type Line =
  { kind: "output"; at: string; stream: string; text: string } | { kind: "log" | "progress"; at: string; data: string };

/** Collects what a run reports and appends it in groups: what arrives during one write goes out with the next. */
export function createSink(task: Claimed, appender: Appender, report: SinkReport): EventSink {
  let pending: Line[] = [];
  let pendingChars = 0;
  let dropped = 0;
  let isFenced = false;
  let isOver = false;
  let writing: Promise<void> | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let delayMs = firstWriteDelayMs;

  function add(line: Line, chars: number): void {
    if (isFenced || isOver) return;
    if (pendingChars > keptCharsMax) {
      dropped++;
      return;
    }
    const isJoined = joins(pending.at(-1), line);
    if (!isJoined) pending.push(line);
    pendingChars += isJoined ? chars : chars + lineChars;
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

  function take(): TimedEvent[] {
    const events = pending.map((line) => eventOf(line, task.index));
    if (dropped > 0) events.push(droppedEvent(dropped, task.index));
    pending = [];
    pendingChars = 0;
    dropped = 0;
    return events;
  }

  async function write(): Promise<void> {
    while (pending.length > 0 && !isFenced) {
      const isOurs = await append(take()).catch((fault: unknown) => {
        report.onFault(fault);
        return true;
      });
      if (isOurs) continue;
      isFenced = true;
      pending = [];
      report.onFenced();
    }
    writing = null;
  }

  /** Offered until it is written or refused. A write whose answer was lost may have been done: the appender looks. */
  async function append(events: TimedEvent[]): Promise<boolean> {
    for (let tries = 0; ; tries++) {
      try {
        return await appender.append(task, events, { isRepeat: tries > 0 });
      } catch (fault) {
        if (!isPassingFault(fault)) throw fault;
        await Bun.sleep(Math.min(retryFirstMs * 2 ** tries, retryMaxMs));
      }
    }
  }

  return {
    log(level, text) {
      const shown = clean(text.slice(0, logCharsMax));
      add({ kind: "log", at: now(), data: JSON.stringify({ level, text: shown }) }, shown.length);
    },
    output(stream, text) {
      for (const piece of pieces(text)) add({ kind: "output", at: now(), stream, text: piece }, piece.length);
      return pendingChars > pendingCharsMax && writing !== null ? writing : undefined;
    },
    progress(fraction, text) {
      if (!Number.isFinite(fraction)) return;
      const value = Math.min(1, Math.max(0, fraction));
      const shown = text === undefined ? {} : { text: clean(text.slice(0, progressTextCharsMax)) };
      add({ kind: "progress", at: now(), data: JSON.stringify({ fraction: value, ...shown }) }, lineChars);
    },
    async rest() {
      while (writing !== null) await writing;
      stopTimer();
      isOver = true;
      return take();
    },
  };
}

/** Neighbouring pieces of one stream become one event. */
function joins(last: Line | undefined, line: Line): boolean {
  if (last?.kind !== "output" || line.kind !== "output" || last.stream !== line.stream) return false;
  if (last.text.length + line.text.length > chunkCharsMax) return false;
  last.text += line.text;
  return true;
}

/** Never cut within a character: whoever writes a piece out by itself would garble it. */
function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    const isCut = /[\ud800-\udbff]/.test(text[at + chunkCharsMax - 1] ?? "");
    const end = at + chunkCharsMax - (isCut ? 1 : 0);
    yield text.slice(at, end);
    at = end;
  }
}

function eventOf(line: Line, task: number): TimedEvent {
  if (line.kind !== "output") return { kind: line.kind, task, at: line.at, data: line.data };
  return { kind: "output", task, at: line.at, data: JSON.stringify({ stream: line.stream, text: line.text }) };
}

function droppedEvent(count: number, task: number): TimedEvent {
  const text = `${count} lines could not be kept and were dropped`;
  return { kind: "log", task, at: now(), data: JSON.stringify({ level: "warn", text }) };
}

function now(): string {
  return new Date().toISOString();
}

/** Control characters other than line ends and tabs would garble whoever shows the line. */
function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, "\ufffd");
}

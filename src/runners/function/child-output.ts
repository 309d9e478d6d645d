import { createRequire } from "node:module";
import type { Writable } from "node:stream";
import type { LogLevel } from "../../log.ts";

/** Where captured text goes. `isFull` spares formatting what nobody will see. */
export type TextSink = { isFull(): boolean; write(level: LogLevel, text: string): void };

// Loaded on first use: together they take longer than the rest of the process's start.
const load = createRequire(import.meta.url);
const lineCharsMax = 65_536;

/** `console.log`'s formatting. */
export function formatted(parts: unknown[]): string {
  const [first] = parts;
  if (parts.length === 1 && typeof first === "string") return first;
  const util: typeof import("node:util") = load("node:util");
  return util.format(...parts);
}

/**
 * Sends everything written through `console`, `process.stdout` and `process.stderr` to `sink`, in order, with its level.
 * Returns a function that sends the unfinished lines too.
 */
export function captureOutput(sink: TextSink): () => void {
  captureConsole(sink);
  const flushes = [captureStream("stdout", 1, "info", sink), captureStream("stderr", 2, "warn", sink)];
  return () => {
    for (const flush of flushes) flush();
  };
}

const levels: Record<string, LogLevel> = {
  log: "info",
  info: "info",
  debug: "debug",
  warn: "warn",
  error: "error",
  trace: "warn",
  assert: "error",
  dir: "info",
  dirxml: "info",
  table: "info",
  group: "info",
  groupCollapsed: "info",
  groupEnd: "info",
  count: "info",
  countReset: "info",
  time: "info",
  timeEnd: "info",
  timeLog: "info",
};

function captureConsole(sink: TextSink): void {
  let level: LogLevel = "info";
  let inner: Record<string, (...parts: unknown[]) => void> | null = null;
  const write = (text: string) => {
    sink.write(level, text.endsWith("\n") ? text.slice(0, -1) : text);
    return true;
  };
  const create = () => {
    const { Console }: typeof import("node:console") = load("node:console");
    // A console only calls `write` and looks for errors; a real stream would add its buffering.
    const stream = {
      write,
      on: () => stream,
      once: () => stream,
      removeListener: () => stream,
      listenerCount: () => 0,
    };
    const options = { stdout: stream as unknown as Writable, stderr: stream as unknown as Writable, colorMode: false };
    return new Console(options) as unknown as Record<string, (...parts: unknown[]) => void>;
  };
  for (const [name, itsLevel] of Object.entries(levels)) {
    const method = (...parts: unknown[]) => {
      if (sink.isFull()) return;
      inner ??= create();
      level = itsLevel;
      inner[name]?.(...parts);
    };
    Object.defineProperty(console, name, { value: method, writable: true, configurable: true });
  }
}

function captureStream(name: "stdout" | "stderr", fd: number, level: LogLevel, sink: TextSink): () => void {
  const lines = createLines((text) => sink.write(level, text));
  let stream: Writable | null = null;
  const create = () => {
    const { Writable: Stream }: typeof import("node:stream") = load("node:stream");
    const created = new Stream({
      decodeStrings: false,
      write(chunk: string | Uint8Array, _encoding, done) {
        if (!sink.isFull()) lines.add(typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk));
        done();
      },
    });
    return Object.assign(created, { fd });
  };
  Object.defineProperty(process, name, { configurable: true, get: () => (stream ??= create()) });
  return lines.flush;
}

/** Cuts text into lines; an unfinished one goes out when it is long, or at the end of the turn. */
function createLines(write: (text: string) => void) {
  let rest = "";
  let isAwaited = false;
  const flush = () => {
    isAwaited = false;
    if (rest !== "") write(rest);
    rest = "";
  };
  const add = (text: string) => {
    rest += text;
    const end = rest.lastIndexOf("\n");
    if (end >= 0) {
      write(rest.slice(0, end));
      rest = rest.slice(end + 1);
    }
    if (rest.length > lineCharsMax) flush();
    if (rest === "" || isAwaited) return;
    isAwaited = true;
    setImmediate(flush);
  };
  return { add, flush };
}

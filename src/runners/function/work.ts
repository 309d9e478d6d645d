import type { LogLevel } from "../../log.ts";
import type { RunSink, StopReason } from "../contract.ts";
import type { FailedCode, Measured, Order, Reply } from "./frames.ts";
import type { Speed } from "./speed.ts";

/** How a piece of work ended, as far as processes can tell. */
export type WorkEnd =
  | ({ by: "done"; json: string } & Measured)
  | ({ by: "failed"; code: FailedCode; message: string } & Measured)
  | { by: "exit"; exitCode: number | null; signal: string | null }
  | { by: "stop"; exitCode: number | null; signal: string | null }
  | { by: "breach"; message: string }
  | { by: "no_process"; message: string };

export type WorkOptions = {
  order(nonce: string): Order;
  sink: RunSink;
  timeoutMs: number;
  memoryMbMax: number;
  outputBytesMax: number;
  /** How fast this kind of work has shown to be; shared by all of its kind. */
  speed: Speed;
};

// Up to here every line is an event of its own; a flood is sent on in larger pieces.
const singleLinesMax = 1_000;
const heldCharsMax = 8_000;
// The process keeps to the limit by itself; this covers its notes, and text that went around it.
const slackBytes = 65_536;

/** One thing a function process is asked to do, from waiting for a process until its end. */
export class Work {
  readonly waitingSinceMs = performance.now();
  /** Names this execution to its process. */
  nonce = "";
  startedAtMs = 0;
  endedAtMs = 0;
  /** The first reason to stop it; decides the outcome whatever the process still says. */
  stopReason: StopReason | null = null;
  #onStop: (() => void) | null = null;
  /** How often a process handed it back without having begun it. */
  returns = 0;
  /** The most memory it was seen to use. */
  rssMbSeen = 0;
  readonly ended: Promise<WorkEnd>;
  readonly #resolve: (end: WorkEnd) => void;
  #logBytesLeft: number;
  #streamBytesLeft: number;
  #lines = 0;
  #held: { level: LogLevel; text: string } | null = null;

  constructor(readonly options: WorkOptions) {
    const { promise, resolve } = Promise.withResolvers<WorkEnd>();
    this.ended = promise;
    this.#resolve = resolve;
    this.#logBytesLeft = options.outputBytesMax + slackBytes;
    this.#streamBytesLeft = options.outputBytesMax + slackBytes;
  }

  /** Says who is to be told when the work must stop: whoever has it now. */
  heldBy(onStop: () => void): void {
    this.#onStop = onStop;
  }

  /** Records why it must stop and tells whoever has it. Only the first reason counts. */
  stop(reason: StopReason): void {
    if (this.stopReason !== null || this.endedAtMs !== 0) return;
    this.stopReason = reason;
    this.#onStop?.();
  }

  end(end: WorkEnd): void {
    this.flush();
    this.endedAtMs = performance.now();
    this.options.speed.record("wallMs" in end ? end.wallMs : Number.POSITIVE_INFINITY);
    this.#resolve(end);
  }

  /** Whether no more of what it prints is kept. */
  get isFull(): boolean {
    return this.#logBytesLeft <= 0;
  }

  /** Passes on what the process reports. A promise when the receiver wants a pause until it settles. */
  heard(reply: Extract<Reply, { kind: "log" | "progress" | "stream" }>): Promise<void> | undefined {
    if (reply.kind === "log") {
      this.log(reply.level, reply.text);
      return undefined;
    }
    this.flush();
    if (reply.kind === "stream") return this.#stream(reply.text);
    if (reply.text === null) this.options.sink.progress(reply.fraction);
    else this.options.sink.progress(reply.fraction, reply.text);
    return undefined;
  }

  /** It was seen to use this much memory. */
  sawMemory(rssMb: number): void {
    this.rssMbSeen = Math.max(this.rssMbSeen, rssMb);
    const { memoryMbMax } = this.options;
    if (rssMb <= memoryMbMax) return;
    this.stop({ code: "out_of_memory", message: `The function used more than ${memoryMbMax} MiB of memory` });
  }

  log(level: LogLevel, text: string): void {
    if (this.isFull) return;
    this.#logBytesLeft -= text.length;
    this.#lines += 1;
    if (this.#lines <= singleLinesMax) this.options.sink.log(level, text);
    else this.#hold(level, text);
    if (this.isFull) this.#hold("warn", "Console output is cut here: it is more than a run may print");
  }

  /** Sends on the lines that were held together. */
  flush(): void {
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.options.sink.log(held.level, held.text);
  }

  #stream(text: string): Promise<void> | undefined {
    this.#streamBytesLeft -= text.length;
    if (this.#streamBytesLeft >= 0) return this.options.sink.output("stream", text) ?? undefined;
    const message = `The function streamed more than ${this.options.outputBytesMax} bytes`;
    this.stop({ code: "output_limit", message });
    return undefined;
  }

  #hold(level: LogLevel, text: string): void {
    if (this.#held?.level === level && this.#held.text.length + text.length < heldCharsMax) {
      this.#held.text += `\n${text}`;
      return;
    }
    this.flush();
    this.#held = { level, text };
  }
}

import type { FunctionContext, FunctionLog } from "../../functions.ts";
import type { LogLevel } from "../../log.ts";
import { say } from "./child-channel.ts";
import { formatted } from "./child-output.ts";
import { type ChildProgress, childProgress } from "./child-progress.ts";
import { resultJson } from "./child-result.ts";
import type { FailedCode, Measured, Order } from "./frames.ts";
import { pieces } from "./pieces.ts";

// A line in a log costs more than its characters; counting that too bounds the number of events.
const eventBytes = 64;
// Reading the memory in use is slow; below this the highest use so far says enough.
const smallMb = 96;
// What is kept of one line of a log, and what goes out in one message.
const logCharsMax = 8_000;
const streamCharsMax = 65_536;

/** One execution of one function, as its process sees it: what it may still print, and how it ends. Ends once. */
export class Execution {
  readonly context: FunctionContext;
  #isOver = false;
  #isFatal = false;
  #logBytesLeft: number;
  #streamBytesLeft: number;
  #controller: AbortController | null = null;
  #abortReason: DOMException | null = null;
  readonly #progress: ChildProgress;
  readonly #before = process.resourceUsage();
  readonly #beganAtMs = performance.now();

  constructor(readonly order: Extract<Order, { kind: "run" }>) {
    const { nonce, outputBytesMax } = order;
    this.#logBytesLeft = outputBytesMax;
    this.#streamBytesLeft = outputBytesMax;
    this.#progress = childProgress((fraction, text) => say({ kind: "progress", nonce, fraction, text }));
    this.context = this.#createContext();
  }

  /** Whether this process must not begin another execution after this one. */
  get isLast(): boolean {
    return this.#isFatal || this.#abortReason !== null;
  }

  /** Whether no more of the console is kept. */
  get isFull(): boolean {
    return this.#logBytesLeft <= 0;
  }

  log(level: LogLevel, text: string): void {
    if (this.#isOver || this.isFull) return;
    const kept = text.slice(0, this.#logBytesLeft);
    this.#logBytesLeft -= kept.length + eventBytes;
    for (const piece of pieces(kept, logCharsMax)) say({ kind: "log", nonce: this.order.nonce, level, text: piece });
    if (!this.isFull) return;
    const note = `Console output is cut here: a run may print ${this.order.outputBytesMax} bytes`;
    say({ kind: "log", nonce: this.order.nonce, level: "warn", text: note });
  }

  abort(reason: "timed_out" | "cancelled"): void {
    this.#abortReason =
      reason === "timed_out"
        ? new DOMException("The time of this run is up", "TimeoutError")
        : new DOMException("This run was cancelled", "AbortError");
    say({ kind: "aborting", nonce: this.order.nonce, isWatched: this.#controller !== null });
    this.#controller?.abort(this.#abortReason);
  }

  finish(value: unknown): void {
    const result = resultJson(value, this.order.resultBytesMax);
    if ("fault" in result) {
      this.fail("function_error", result.fault);
    } else if (!this.#isOver) {
      this.#end();
      say({ kind: "done", nonce: this.order.nonce, ...this.#measured(), json: result.json });
    }
  }

  /** `isFatal`: the process is not fit for another execution. */
  fail(code: FailedCode, message: string, isFatal = false): void {
    if (this.#isOver) return;
    this.#isFatal = isFatal;
    this.#end();
    say({ kind: "failed", nonce: this.order.nonce, ...this.#measured(), code, message, isFatal });
  }

  #end(): void {
    this.#progress.flush();
    this.#isOver = true;
  }

  #measured(): Measured {
    const wallMs = Math.round((performance.now() - this.#beganAtMs) * 1000) / 1000;
    const now = process.resourceUsage();
    const cpuUs = now.userCPUTime + now.systemCPUTime - this.#before.userCPUTime - this.#before.systemCPUTime;
    const highestMb = now.maxRSS / 1024;
    const isOwn = highestMb < smallMb || now.maxRSS > this.#before.maxRSS;
    const rssMb = isOwn ? highestMb : process.memoryUsage.rss() / 2 ** 20;
    return { wallMs, cpuMs: cpuUs / 1000, rssMb: Math.round(rssMb) };
  }

  #createContext(): FunctionContext {
    const { jobId, attempt, streaming, traceparent = null } = this.order;
    const signal = () => this.#signal();
    return {
      stream: (text) => this.#stream(text),
      progress: (fraction, text) => {
        if (!this.#isOver) this.#progress.report(fraction, text);
      },
      // A getter, so that reading it tells that somebody listens.
      get signal() {
        return signal();
      },
      log: this.#createLog(),
      jobId,
      attempt,
      streaming,
      traceparent,
    };
  }

  #createLog(): FunctionLog {
    const at =
      (level: LogLevel) =>
      (...parts: unknown[]) => {
        if (!this.isFull) this.log(level, formatted(parts));
      };
    const levels = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    return Object.assign(at("info"), levels);
  }

  #signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#abortReason !== null) this.#controller.abort(this.#abortReason);
    return this.#controller.signal;
  }

  #stream(value: unknown): void {
    const text = value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
    if (this.#isOver || text === "") return;
    this.#streamBytesLeft -= text.length;
    if (this.#streamBytesLeft < 0) {
      this.fail("output_limit", `The function streamed more than ${this.order.outputBytesMax} bytes`, true);
      return;
    }
    for (const piece of pieces(text, streamCharsMax)) say({ kind: "stream", nonce: this.order.nonce, text: piece });
  }
}

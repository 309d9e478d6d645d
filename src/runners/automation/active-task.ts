import type { ActiveRun, Failure, Outcome, RunFacts, RunRequest, RunSink, StopReason } from "../contract.ts";
import type { BrowserProcess, ProcessEnd } from "./browser-process.ts";
import type { Reply, TaskOrder } from "./messages.ts";

/** What a task gets from the runner once it may start. `release` says whether the process may be used again. */
export type Grant = { process: BrowserProcess; order: TaskOrder; release(isReusable: boolean): Promise<void> };
export type GrantOrFailure = Grant | { failure: Failure };

const watchEveryMs = 1_000;
const mebibyte = 1_048_576;
const outputMbDefault = 10;

/** One run: holds its reason to stop, its limits and its measurements. */
export class ActiveTask implements ActiveRun {
  readonly done: ActiveRun["done"];
  readonly #startedAt = performance.now();
  readonly #stopped = Promise.withResolvers<void>();
  #reason: StopReason | null = null;
  #process: BrowserProcess | null = null;
  #step = "while its browser was starting";
  #maxRssMb: number | null = null;
  #outputBytesLeft: number;

  constructor(
    readonly request: RunRequest,
    readonly sink: RunSink,
    grant: () => Promise<GrantOrFailure>,
  ) {
    this.#outputBytesLeft = (request.limits.outputMb ?? outputMbDefault) * mebibyte;
    this.done = this.#run(grant);
  }

  /** The reason is recorded before the first signal; only the first one counts. */
  stop(reason: StopReason): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#stopped.resolve();
    void this.#process?.stop();
  }

  async #run(grant: () => Promise<GrantOrFailure>): ActiveRun["done"] {
    let end: ProcessEnd | null = null;
    let outcome: Outcome;
    const timer = setTimeout(() => this.stop("timed_out"), this.#wallMs());
    const watch = setInterval(() => void this.#measure(), watchEveryMs);
    try {
      const granted = await grant();
      if ("failure" in granted) outcome = { kind: "failed", error: granted.failure };
      else {
        end = await this.#execute(granted);
        outcome = outcomeOf(end);
      }
    } catch (fault) {
      outcome = { kind: "failed", error: { code: "runner_error", message: faultLine(fault) } };
    }
    clearTimeout(timer);
    clearInterval(watch);
    if (this.#reason !== null) outcome = this.#stoppedOutcome(this.#reason);
    return { outcome, facts: this.#facts(end) };
  }

  async #execute({ process, order, release }: Grant): Promise<ProcessEnd> {
    this.#process = process;
    // It may have been stopped while it was waiting for a process.
    if (this.#reason === null) {
      const ended = process.run(
        order,
        (reply) => this.#hear(reply),
        (stream, text) => this.#forward(stream, text),
      );
      const end = await Promise.race([ended, this.#stopped.promise]);
      await this.#measure();
      if (end !== undefined && this.#reason === null) {
        await release(true);
        return end;
      }
    }
    const survivors = await process.stop();
    await release(false);
    if (survivors.length > 0) this.sink.log("error", `${survivors.length} processes of the browser could not be ended`);
    return { kind: "exited", exitCode: null, signal: null };
  }

  #hear(reply: Reply): void {
    if (reply.kind === "log") this.sink.log(reply.level, reply.text);
    else if (reply.kind === "progress") this.sink.progress(Math.min(Math.max(reply.fraction, 0), 1), reply.text);
    else if (reply.kind === "step") this.#step = `in ${reply.text}`;
  }

  #forward(stream: "stdout" | "stderr", text: string): void {
    if (this.#outputBytesLeft <= 0) return;
    this.#outputBytesLeft -= Buffer.byteLength(text);
    // Printing is rare in an automation, and bounded: nothing has to wait for a slow reader.
    void this.sink.output(stream, text);
    if (this.#outputBytesLeft <= 0) this.sink.log("warn", "Further output of the browser process is dropped");
  }

  async #measure(): Promise<void> {
    if (this.#process === null || this.#reason !== null) return;
    const memoryMb = await this.#process.memoryMb();
    this.#maxRssMb = Math.max(this.#maxRssMb ?? 0, memoryMb);
    const { memoryMb: max } = this.request.limits;
    if (max === undefined || memoryMb <= max) return;
    this.stop({
      code: "out_of_memory",
      message: `the browser used ${memoryMb} MiB, more than the ${max} MiB allowed, ${this.#step}`,
    });
  }

  #wallMs(): number {
    const { wallS } = this.request.limits;
    const wallMs = Math.min(this.request.timeoutMs, (wallS ?? Number.POSITIVE_INFINITY) * 1_000);
    // A longer time than a timer can hold would fire at once.
    return Math.min(wallMs, 2 ** 31 - 1);
  }

  #stoppedOutcome(reason: StopReason): Outcome {
    if (typeof reason === "object") return { kind: "failed", error: reason };
    if (reason === "cancelled") return { kind: "cancelled" };
    if (reason !== "timed_out") return { kind: "interrupted" };
    return { kind: "timed_out", message: `the automation timed out after ${this.#wallMs() / 1_000} s ${this.#step}` };
  }

  #facts(end: ProcessEnd | null): RunFacts {
    const exit = end?.kind === "exited" ? end : null;
    return {
      sandbox: "process",
      wallMs: Math.round(performance.now() - this.#startedAt),
      cpuMs: null,
      maxRssMb: this.#maxRssMb,
      exitCode: exit?.exitCode ?? null,
      signal: exit?.signal ?? null,
      limits: this.request.limits,
    };
  }
}

function outcomeOf(end: ProcessEnd): Outcome {
  if (end.kind === "exited") {
    const how = end.signal === null ? `exit code ${end.exitCode}` : end.signal;
    return {
      kind: "failed",
      error: { code: "automation_error", message: `the browser process ended unexpectedly (${how})` },
    };
  }
  if (end.failure === null) return { kind: "succeeded", output: end.output };
  return { kind: "failed", error: end.failure, output: end.output };
}

function faultLine(fault: unknown): string {
  return fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault);
}

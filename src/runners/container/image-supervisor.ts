import { setTimeout as pause } from "node:timers/promises";
import type { Log } from "../../log.ts";
import type { Failure } from "../contract.ts";
import { containerError } from "./container-error.ts";
import type { ImageContainer } from "./definition.ts";
import type { EngineApi } from "./engine-api.ts";
import { backoffMs, type ImageState, type ImageTimings, type RunningImage } from "./image-state.ts";
import { endReasonWithin } from "./image-end.ts";
import { startImage } from "./image-start.ts";
import { watchImage } from "./image-watch.ts";
import type { LinkResult } from "./link.ts";

export type SupervisorOptions = {
  image: ImageContainer;
  node: string;
  engine: () => Promise<EngineApi>;
  log: Log;
  timings: ImageTimings;
};

type Use = {
  signal: AbortSignal;
  /** Lines while it is pulled and started. */
  report: (text: string) => void;
  call: (url: string, signal: AbortSignal) => Promise<LinkResult>;
};

const stopped = "is being stopped";

/**
 * Keeps one container of one image: started when it is wanted, watched, restarted with growing pauses, removed at `close`.
 * After several failures in a row it rests until a call asks for it again, so that a broken image does not start for ever.
 */
export class ImageSupervisor {
  #state: ImageState = { kind: "idle" };
  #changed = Promise.withResolvers<void>();
  #supervision: Promise<void> | null = null;
  #calls = 0;
  readonly #closing = new AbortController();
  readonly #reports = new Set<(text: string) => void>();

  constructor(readonly options: SupervisorOptions) {}

  get state(): ImageState {
    return this.#state;
  }

  /** Starts it unless that is already being done. */
  begin(): void {
    const { kind } = this.#state;
    if (this.#closing.signal.aborted || (kind !== "idle" && kind !== "failed")) return;
    this.#become({ kind: "starting" });
    this.#supervision = this.#supervise();
  }

  /** Calls the running container, after starting it when need be. Rejects only when `signal` fires, with its reason. */
  async use(use: Use): Promise<LinkResult> {
    const result = await this.#useOnce(use);
    // It had ended unnoticed, and nothing of the call has happened.
    const isUntouched = "error" in result && result.lostConnection === "before";
    return isUntouched ? await this.#useOnce(use) : result;
  }

  /** Lets the calls in flight end for at most `withinMs`, then closes. */
  async retire(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (this.#calls > 0 && performance.now() < deadline) await Bun.sleep(this.options.timings.probeEveryMs);
    await this.close();
  }

  /** Stops and removes the container. Calls in flight fail. */
  async close(): Promise<void> {
    this.#closing.abort(new Error(stopped));
    await this.#supervision;
    this.#become({ kind: "closed" });
  }

  async #useOnce({ signal, report, call }: Use): Promise<LinkResult> {
    const running = await this.#awaitRunning(signal, report);
    if (typeof running === "string") return this.#failed(running);
    this.#calls++;
    try {
      const result = await call(running.url, AbortSignal.any([signal, running.gone.signal]));
      return "error" in result && result.lostConnection ? await this.#explain(running, signal, result) : result;
    } catch (fault) {
      if (signal.aborted || !running.gone.signal.aborted) throw fault;
      return this.#failed(inTheMiddle(running.gone.signal.reason));
    } finally {
      this.#calls--;
    }
  }

  async #supervise(): Promise<void> {
    const { timings } = this.options;
    for (let failures = 1; ; failures++) {
      const { reason, ranMs } = await this.#runOnce();
      if (this.#closing.signal.aborted) return;
      if (ranMs > timings.stableMs) failures = 1;
      this.#tell("warn", "container.ended", { reason, failures });
      if (failures === timings.failuresMax) {
        this.#become({ kind: "failed", reason, atMs: performance.now() });
        return;
      }
      await this.#rest(reason, backoffMs(failures, timings));
      if (this.#closing.signal.aborted) return;
      this.#become({ kind: "starting" });
    }
  }

  /** From start to end; why it ended, and how long it was of use. */
  async #runOnce(): Promise<{ reason: string; ranMs: number }> {
    let readyAt: number | null = null;
    const ended = (reason: string) => ({ reason, ranMs: readyAt === null ? 0 : performance.now() - readyAt });
    try {
      const engine = await this.options.engine();
      const running = await this.#start(engine);
      readyAt = performance.now();
      const reason = await this.#watch(running);
      this.#leave(running, reason);
      // An answer that was sent before the end is still on its way.
      await Bun.sleep(this.options.timings.probeEveryMs);
      running.gone.abort(reason);
      await this.#remove(running);
      return ended(reason);
    } catch (fault) {
      return ended(fault instanceof Error ? fault.message : String(fault));
    }
  }

  async #start(engine: EngineApi): Promise<RunningImage> {
    const { signal } = this.#closing;
    const running = await startImage({ ...this.options, engine, signal, report: (text) => this.#report(text) });
    this.#become({ kind: "running", running });
    this.#tell("info", "container.running", { url: running.url });
    return running;
  }

  async #watch(running: RunningImage): Promise<string> {
    const { signal } = this.#closing;
    try {
      const { timings } = this.options;
      return await watchImage({ running, timings, isBusy: () => this.#calls > 0, signal });
    } catch (fault) {
      if (signal.aborted) return stopped;
      throw fault;
    }
  }

  async #remove({ engine, engineId }: RunningImage): Promise<void> {
    const { timings } = this.options;
    try {
      await engine.remove(engineId, this.#closing.signal.aborted ? timings.stopGraceS : 0);
    } catch (fault) {
      // Found by its label and removed at the next start.
      this.#tell("warn", "container.remove_failed", { fault });
    }
  }

  async #rest(reason: string, ms: number): Promise<void> {
    this.#become({ kind: "waiting", reason });
    try {
      await pause(ms, undefined, { signal: this.#closing.signal });
    } catch {
      // Only closing ends it early, and the caller looks for that.
      return;
    }
  }

  /** The container once it runs, or why it does not. A start that a call has waited for and that failed is its answer. */
  async #awaitRunning(signal: AbortSignal, report: (text: string) => void): Promise<RunningImage | string> {
    this.#reports.add(report);
    try {
      let hasSeenStart = false;
      for (;;) {
        const state = this.#state;
        if (state.kind === "running") return state.running;
        if (state.kind === "closed" || this.#closing.signal.aborted) return stopped;
        if (hasSeenStart && (state.kind === "waiting" || state.kind === "failed")) return state.reason;
        if (state.kind === "failed" && performance.now() - state.atMs < this.options.timings.restMs)
          return state.reason;
        this.begin();
        hasSeenStart ||= this.#state.kind === "starting";
        await this.#next(signal);
      }
    } finally {
      this.#reports.delete(report);
    }
  }

  async #next(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await Promise.race([this.#changed.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** A lost connection is told as the container's end when that is what it was, and the supervision told with it. */
  async #explain(running: RunningImage, signal: AbortSignal, result: LinkResult): Promise<LinkResult> {
    const { explainMs, probeEveryMs } = this.options.timings;
    const deadline = performance.now() + explainMs;
    while (performance.now() < deadline && !signal.aborted) {
      const reason = running.gone.signal.reason ?? (await endReasonWithin(running, explainMs, signal));
      if (typeof reason === "string") {
        running.end.resolve(reason);
        this.#leave(running, reason);
        return { ...result, ...this.#failed(inTheMiddle(reason)) };
      }
      await Bun.sleep(probeEveryMs);
    }
    return result;
  }

  /** No call may find a container that has ended. */
  #leave(running: RunningImage, reason: string): void {
    const state = this.#state;
    if (state.kind === "running" && state.running === running) this.#become({ kind: "waiting", reason });
  }

  #failed(reason: string): { error: Failure } {
    return { error: containerError(this.options.image.id, reason) };
  }

  #report(text: string): void {
    this.#tell("info", "container.starting", { text });
    for (const report of this.#reports) report(text);
  }

  #tell(level: "info" | "warn", event: string, fields: Record<string, unknown>): void {
    this.options.log[level](event, { container: this.options.image.id, ...fields });
  }

  #become(state: ImageState): void {
    const { resolve } = this.#changed;
    this.#state = state;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}

function inTheMiddle(reason: unknown): string {
  return `${String(reason)} (in the middle of the call)`;
}

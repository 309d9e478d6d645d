import { availableParallelism } from "node:os";
import { FunctionProcess, type ProcessOptions } from "./process.ts";
import type { Work } from "./work.ts";

export type PoolOptions = ProcessOptions & {
  /** The most processes at once. */
  slots: number;
  /** Processes that are kept, busy or not; at most `slots`. */
  warm: number;
  /** A process above `warm` that had nothing to do for this long is ended. */
  idleMs: number;
};

/** Waiting longer than this asks for another process. */
const patienceMs = 10;
/** The same while the processes there are get through their work. */
const longPatienceMs = 25;
/** The same for work that is quick, and only while fewer processes than processors get through theirs. */
const quickPatienceMs = 50;
const processors = Math.max(2, availableParallelism());
/** Starting a process takes about 10 ms of CPU: more at once would only make all of them late. */
const startingMax = 4;
const startFaultsMax = 3;
const backoffMs = 250;
const waitingTickMs = 5;
const busyTickMs = 20;
const calmTickMs = 1_000;
/** Processes looked at for each piece of work; enough, since quick work needs few of them. */
const looksMax = 16;

/**
 * Warm processes for functions. Each does one piece of work at a time; the number of processes follows what is asked of
 * them, up to `slots`. One timer watches all time-outs. Close it with `close`.
 */
export class FunctionPool {
  readonly #options: PoolOptions;
  readonly #members = new Set<FunctionProcess>();
  // The last one to become idle is used first, so that the others can be spared.
  readonly #idle: FunctionProcess[] = [];
  #waiting: Work[] = [];
  #generation = 0;
  #endedSinceTick = 0;
  #startFaults = 0;
  #startNotBeforeMs = 0;
  #lastFault = "";
  #timer: Timer | null = null;
  #tickAtMs = Number.POSITIVE_INFINITY;
  #onEmpty: (() => void) | null = null;
  #closing: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#startUpTo(options.warm);
  }

  /** Processes that are there now. */
  get size(): number {
    return this.#members.size;
  }

  /** Has the work done as soon as a process is free; its end is told by the work itself. */
  submit(work: Work): void {
    if (this.#isClosed) {
      work.end({ by: "no_process", message: "The function runner is closed" });
      return;
    }
    const member = this.#memberFor(work);
    if (member === undefined) this.#enqueue(work);
    else member.assign(work);
    this.#tickWithin(member === undefined || member.load > 1 ? waitingTickMs : busyTickMs);
  }

  /** From now on work is done by new processes, which load files anew. What runs ends in the old ones. */
  renew(): void {
    this.#generation += 1;
    for (const member of this.#members) if (member.state !== "busy") member.leave();
    this.#idle.length = 0;
    this.#startUpTo(this.#options.warm);
  }

  /** Ends every process; resolves when they are gone. Work that still runs ends as interrupted. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    for (const work of [...this.#waiting]) work.stop("interrupted");
    for (const member of this.#members) {
      if (member.state === "busy") member.stopAll();
      else member.leave();
    }
    if (this.#members.size === 0) resolve();
    await promise;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Quick work goes to few processes, so that each turn of theirs does much of it and the others can be spared. */
  #memberFor(work: Work): FunctionProcess | undefined {
    const isShared = work.options.speed.isQuick && this.#members.size - this.#idle.length >= processors;
    return isShared ? (this.#memberAhead(work) ?? this.#takeIdle()) : (this.#takeIdle() ?? this.#memberAhead(work));
  }

  #takeIdle(): FunctionProcess | undefined {
    let member = this.#idle.pop();
    // An idle process may have said that it ends, and not have done so yet.
    while (member !== undefined && member.state !== "idle") member = this.#idle.pop();
    return member;
  }

  /** The least loaded process that takes this work before it has ended what it has. */
  #memberAhead(work: Work): FunctionProcess | undefined {
    if (!work.options.speed.isQuick || this.#waiting.length > 0) return undefined;
    let best: FunctionProcess | undefined;
    let looks = 0;
    for (const member of this.#members) {
      if (member.takesAhead && (best === undefined || member.load < best.load)) best = member;
      looks += 1;
      if (looks === looksMax) break;
    }
    return best;
  }

  #enqueue(work: Work): void {
    this.#waiting.push(work);
    this.#awaitProcess(work);
  }

  #awaitProcess(work: Work): void {
    work.heldBy(() => {
      this.#waiting = this.#waiting.filter((other) => other !== work);
      work.end({ by: "stop", exitCode: null, signal: null });
    });
  }

  readonly #events = {
    free: (member: FunctionProcess) => this.#freed(member),
    returned: (work: Work) => this.#returned(work),
    gone: (member: FunctionProcess) => this.#lost(member),
  };

  #freed(member: FunctionProcess): void {
    this.#startFaults = 0;
    this.#endedSinceTick += 1;
    const isOld = this.#isClosed || member.generation !== this.#generation;
    const [next] = this.#waiting;
    if (isOld) {
      if (member.state === "idle") member.leave();
    } else if (next === undefined) {
      if (member.state === "idle") this.#idle.push(member);
    } else if (member.state === "idle" || next.options.speed.isQuick) {
      this.#waiting.shift();
      member.assign(next);
    }
  }

  #returned(work: Work): void {
    const member = work.stopReason === null ? this.#takeIdle() : undefined;
    if (work.stopReason !== null) {
      work.end({ by: "stop", exitCode: null, signal: null });
    } else if (member !== undefined) {
      member.assign(work);
    } else {
      this.#waiting.unshift(work);
      this.#awaitProcess(work);
      this.#tickWithin(waitingTickMs);
    }
  }

  #lost(member: FunctionProcess): void {
    this.#members.delete(member);
    const at = this.#idle.indexOf(member);
    if (at >= 0) this.#idle.splice(at, 1);
    if (this.#isClosed) {
      if (this.#members.size === 0) this.#onEmpty?.();
      return;
    }
    if (!member.wasReady && member.generation === this.#generation) this.#startFailed("it ended while it started");
    this.#startUpTo(this.#options.warm);
  }

  #startFailed(why: string): void {
    this.#startFaults += 1;
    this.#lastFault = why;
    this.#startNotBeforeMs = performance.now() + backoffMs * Math.min(this.#startFaults, 20);
    this.#tickWithin(backoffMs);
    const isHopeless = this.#startFaults >= startFaultsMax && ![...this.#members].some((member) => member.wasReady);
    if (!isHopeless) return;
    for (const work of this.#waiting.splice(0)) {
      work.end({ by: "no_process", message: `No function process could be started: ${this.#lastFault}` });
    }
  }

  /** Processes that take work or will. */
  #usable(): number {
    let usable = 0;
    for (const member of this.#members) {
      const isCurrent = member.generation === this.#generation && member.state !== "leaving";
      if (isCurrent || member.state === "busy") usable += 1;
    }
    return usable;
  }

  #startUpTo(wanted: number): void {
    for (let usable = this.#usable(); usable < wanted && !this.#isClosed; usable += 1) {
      if (performance.now() >= this.#startNotBeforeMs) this.#startOne();
      else this.#tickWithin(backoffMs);
    }
  }

  #startOne(): void {
    try {
      this.#members.add(new FunctionProcess(this.#generation, this.#options, this.#events));
    } catch (fault) {
      this.#startFailed(fault instanceof Error ? fault.message : String(fault));
    }
  }

  #tickWithin(ms: number): void {
    const atMs = performance.now() + ms;
    if (this.#tickAtMs <= atMs + 1) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#tickAtMs = atMs;
    this.#timer = setTimeout(() => this.#tick(), ms);
  }

  #tick(): void {
    const nowMs = performance.now();
    this.#tickAtMs = Number.POSITIVE_INFINITY;
    let busy = 0;
    for (const member of this.#members) {
      if (member.state === "busy") busy += 1;
      member.watch(nowMs);
    }
    this.#grow(nowMs);
    this.#shrink(nowMs);
    this.#endedSinceTick = 0;
    if (this.#isClosed) return;
    if (this.#waiting.length > 0) this.#tickWithin(waitingTickMs);
    else if (busy > 0) this.#tickWithin(busyTickMs);
    else if (this.#members.size !== this.#options.warm) this.#tickWithin(calmTickMs);
  }

  #grow(nowMs: number): void {
    const [oldest] = this.#waiting;
    this.#startUpTo(this.#options.warm);
    if (oldest === undefined || nowMs - oldest.waitingSinceMs < this.#patienceMs(oldest, nowMs)) return;
    let starting = 0;
    for (const member of this.#members) if (member.state === "starting") starting += 1;
    const atOnce = Math.min(this.#waiting.length, startingMax);
    if (atOnce > starting) this.#startUpTo(Math.min(this.#usable() + atOnce - starting, this.#options.slots));
  }

  #patienceMs(work: Work, nowMs: number): number {
    if (!work.options.speed.isQuick) return this.#endedSinceTick === 0 ? patienceMs : longPatienceMs;
    let moving = 0;
    for (const member of this.#members) if (member.ranMs(nowMs) < quickPatienceMs) moving += 1;
    return moving < processors ? quickPatienceMs : Number.POSITIVE_INFINITY;
  }

  #shrink(nowMs: number): void {
    let spare = this.#members.size - this.#options.warm;
    for (const member of [...this.#idle]) {
      if (spare <= 0 || nowMs - member.idleSinceMs < this.#options.idleMs) return;
      this.#idle.splice(this.#idle.indexOf(member), 1);
      member.leave();
      spare -= 1;
    }
  }
}

import { observe } from "../buckets.ts";
import { isPassingFault } from "../db/client.ts";
import { claim } from "../engine/begin.ts";
import type { Claimed } from "../engine/claimed.ts";
import type { Engine, FastLane } from "../engine/context.ts";
import type { Appender } from "../engine/events.ts";
import type { Finisher } from "../engine/finish.ts";
import type { Log } from "../log.ts";
import { queuesWithWork } from "../queue/boss.ts";
import type { Runner, RunnerName, StopReason } from "../runners/contract.ts";
import { createPool, freeSlots, type Pool } from "./pool.ts";
import type { RunFiles } from "./run-task.ts";
import { Running } from "./running.ts";

export type WorkerOptions = {
  engine: Engine;
  finisher: Finisher;
  appender: Appender;
  log: Log;
  runners: { runner: Runner; slots: number; files?: RunFiles }[];
  /** Whether this node can run that target at all. */
  canRun(runner: RunnerName, target: string): boolean;
};

const pollEveryMs = 1_000;
const claimMax = 200;
const settledEveryMs = 20;

/** The slots of this node, and the one place where engine and runners meet. Close it with `close`. */
export class Worker implements FastLane {
  readonly #options: WorkerOptions;
  readonly #pools = new Map<string, Pool>();
  readonly #files = new Map<string, RunFiles>();
  readonly #running: Running;
  readonly #listeners = new Set<() => void>();
  #poll: ReturnType<typeof setInterval> | null = null;
  #isPaused = false;
  #isClosed = false;
  #polling = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#running = new Running(options);
    for (const { runner, slots, files } of options.runners) {
      this.#pools.set(runner.name, createPool(runner, slots));
      if (files !== undefined) this.#files.set(runner.name, files);
    }
  }

  /** Begins to look for work. Waits for `resume` where it was paused before. */
  start(): void {
    if (this.#poll !== null || this.#isClosed) return;
    this.#poll = setInterval(() => void this.#look(), pollEveryMs);
    for (const pool of this.#pools.values()) void this.#pump(pool);
  }

  /** No new task is begun from now on; running ones go on. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Takes up work again, or for the first time where it was paused before it started. */
  resume(): void {
    this.#isPaused = false;
    this.start();
    for (const pool of this.#pools.values()) this.wake(pool.queue);
  }

  reserve(runner: string, target: string, _priority: number): boolean {
    const pool = this.#pools.get(runner);
    if (pool === undefined || !this.#mayBegin(pool) || pool.backlog || freeSlots(pool) <= 0) return false;
    if (!this.#options.canRun(pool.runner.name, target)) return false;
    this.#take(pool);
    return true;
  }

  run(task: Claimed): void {
    const tally = this.#options.engine.tally.runners[task.runner];
    tally.startedAtOnce++;
    observe(tally.waitS, 0);
    void this.#execute(task);
  }

  release(runner: string): void {
    const pool = this.#pools.get(runner);
    if (pool !== undefined) this.#give(pool);
  }

  wake(queue: string): void {
    const pool = this.#pools.get(queue);
    if (pool === undefined) return;
    pool.backlog = true;
    pool.isWoken = true;
    void this.#pump(pool);
  }

  /** Stops every running task of a job, or of the whole node when `jobId` is null. */
  stop(jobId: string | null, reason: StopReason): void {
    this.#running.stop(jobId, reason);
  }

  /** Stops what runs here since before `beforeMs` though it is not among the runs that are this node's by the database's word. */
  fence(owned: ReadonlySet<string>, beforeMs: number): void {
    this.#running.fence(owned, beforeMs);
  }

  isRunning(runId: string): boolean {
    return this.#running.has(runId);
  }

  /** Slots in use and in all, by runner. */
  slots(): Record<string, { used: number; limit: number }> {
    return Object.fromEntries(
      [...this.#pools.values()].map((pool) => [pool.queue, { used: pool.used - pool.held, limit: pool.limit }]),
    );
  }

  get lastClaimAtMs(): number | null {
    return [...this.#pools.values()].reduce<number | null>(
      (newest, pool) => Math.max(newest ?? 0, pool.lastClaimAtMs ?? 0) || null,
      null,
    );
  }

  get runningCount(): number {
    return this.#running.count;
  }

  /** Since when the oldest running task of a runner runs, in ms since the epoch; null when none does. */
  oldestRunningMs(runner: RunnerName): number | null {
    return this.#running.oldestMs(runner);
  }

  /** Calls `listener` whenever a slot is taken or given back. */
  onSlots(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when nothing runs and nothing is being claimed any more, or after `graceMs`. Returns how many still run. */
  async settled(graceMs: number): Promise<number> {
    const until = Date.now() + graceMs;
    while (this.#isBusy() && Date.now() < until) await Bun.sleep(settledEveryMs);
    return this.#running.count;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#poll !== null) clearInterval(this.#poll);
    this.#poll = null;
  }

  #isBusy(): boolean {
    return this.#running.count > 0 || [...this.#pools.values()].some((pool) => pool.claiming);
  }

  #mayBegin(pool: Pool): boolean {
    const { view } = this.#options.engine;
    if (this.#poll === null || this.#isPaused || view.maintenance || view.draining) return false;
    return !view.paused.has(pool.queue);
  }

  #take(pool: Pool): void {
    pool.used++;
    for (const listener of this.#listeners) listener();
  }

  #give(pool: Pool): void {
    pool.used--;
    for (const listener of this.#listeners) listener();
    if (pool.backlog) void this.#pump(pool);
  }

  /** Polling is the floor under notifications, and the only way to see that a delay is over. */
  async #look(): Promise<void> {
    if (this.#polling || this.#isPaused) return;
    this.#polling = true;
    try {
      const idle = [...this.#pools.values()].filter((pool) => !pool.backlog).map((pool) => pool.queue);
      if (idle.length > 0)
        for (const queue of await queuesWithWork(this.#options.engine.db.hot, idle)) this.wake(queue);
      for (const pool of this.#pools.values()) if (pool.backlog) void this.#pump(pool);
    } catch (fault) {
      if (!isPassingFault(fault)) this.#options.log.error("looking for work failed", { fault });
    } finally {
      this.#polling = false;
    }
  }

  async #pump(pool: Pool): Promise<void> {
    if (pool.claiming) return;
    pool.claiming = true;
    try {
      while (pool.backlog && this.#mayBegin(pool) && freeSlots(pool) > 0) await this.#claimInto(pool);
    } catch (fault) {
      if (!isPassingFault(fault)) this.#options.log.error("claiming failed", { queue: pool.queue, fault });
    } finally {
      pool.claiming = false;
    }
  }

  async #claimInto(pool: Pool): Promise<void> {
    const most = Math.min(freeSlots(pool), claimMax);
    // While the claim is on its way newcomers may start ahead of nothing: where more wait than it takes, they queue.
    pool.backlog = this.#options.engine.view.waiting > most;
    pool.isWoken = false;
    pool.used += most;
    pool.held = most;
    let used = 0;
    const sinceMs = performance.now();
    try {
      const { claimed, taken } = await claim(this.#options.engine, pool.queue, most);
      used = claimed.length;
      // A message that has arrived meanwhile may not have been seen.
      pool.backlog = taken === most || pool.isWoken;
      if (used > 0) pool.lastClaimAtMs = Date.now();
      this.#count(pool, claimed, sinceMs);
      for (const task of claimed) void this.#execute(task);
    } catch (fault) {
      pool.backlog = true;
      throw fault;
    } finally {
      pool.used -= most - used;
      pool.held = 0;
      for (const listener of this.#listeners) listener();
    }
  }

  #count(pool: Pool, claimed: Claimed[], sinceMs: number): void {
    const tally = this.#options.engine.tally.runners[pool.runner.name];
    observe(tally.claimS, (performance.now() - sinceMs) / 1_000);
    tally.claimed += claimed.length;
    for (const { queuedAtMs, startedAtMs } of claimed)
      observe(tally.waitS, Math.max(0, startedAtMs - queuedAtMs) / 1_000);
  }

  async #execute(task: Claimed): Promise<void> {
    const pool = this.#pools.get(task.runner);
    if (pool === undefined) throw new Error(`this node has no runner for ${task.runner}`);
    const files = this.#files.get(task.runner);
    await this.#running.execute(task, { runner: pool.runner, files, onFree: () => this.#give(pool) });
  }
}

import { observe } from "../buckets.ts";
import type { Claimed } from "../engine/claimed.ts";
import type { Engine, FastLane } from "../engine/context.ts";
import type { Appender } from "../engine/events.ts";
import type { Finisher } from "../engine/finish.ts";
import type { KnownNeed } from "../engine/need-book.ts";
import { isOffered, type Place, type Requires, runnerOfQueue } from "../engine/needs.ts";
import type { Log } from "../log.ts";
import type { Runner, RunnerName, StopReason } from "../runners/contract.ts";
import { Claims } from "./claims.ts";
import { createPool, freeSlots, hasBacklog, type Pool, setSources } from "./pool.ts";
import type { RunFiles } from "./run-task.ts";
import type { RunTracer } from "./run-trace.ts";
import { Running } from "./running.ts";

export type WorkerOptions = {
  engine: Engine;
  finisher: Finisher;
  appender: Appender;
  log: Log;
  runners: { runner: Runner; slots: number; files?: RunFiles }[];
  /** Told of every run; null when nobody collects traces. */
  tracer?: RunTracer | null;
  /** Whether this node has and knows what it takes; an empty `target` is one that it need not know. */
  canRun(runner: RunnerName, target: string): boolean;
  /** What tasks may ask for; absent: a node of no region and without tags. */
  place?: Place;
};

const nowhere: Place = { region: "", tags: [] };

const pollEveryMs = 1_000;
const settledEveryMs = 20;

/** The slots of this node, and the one place where engine and runners meet. Close it with `close`. */
export class Worker implements FastLane {
  readonly #options: WorkerOptions;
  readonly #pools = new Map<string, Pool>();
  readonly #files = new Map<string, RunFiles>();
  readonly #running: Running;
  readonly #claims: Claims;
  readonly #listeners = new Set<() => void>();
  readonly #place: Place;
  #needs: readonly KnownNeed[] = [];
  #poll: ReturnType<typeof setInterval> | null = null;
  #isPaused = false;
  #isBarred = false;
  #isClosed = false;
  /** Called when somebody names a need-queue that this worker was not told of. */
  onNewNeed: () => void = () => undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#place = options.place ?? nowhere;
    this.#running = new Running(options);
    for (const { runner, slots, files } of options.runners) {
      this.#pools.set(runner.name, createPool(runner, slots));
      if (files !== undefined) this.#files.set(runner.name, files);
    }
    this.#claims = new Claims({
      engine: options.engine,
      log: options.log,
      pools: this.#pools,
      mayBegin: (pool) => this.#mayBegin(pool),
      execute: (task) => void this.#execute(task),
      onSlots: () => this.#tellSlots(),
    });
  }

  /** Begins to look for work. Waits for `resume` where it was paused before. */
  start(): void {
    if (this.#poll !== null || this.#isClosed) return;
    this.#poll = setInterval(() => {
      if (!this.#isPaused && !this.#isBarred) void this.#claims.look();
    }, pollEveryMs);
    for (const pool of this.#pools.values()) void this.#claims.pump(pool);
  }

  /** No new task is begun from now on; running ones go on. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Takes up work again, or for the first time where it was paused before it started. */
  resume(): void {
    this.#isPaused = false;
    this.start();
    this.#wakeAll();
  }

  /** No new task is begun while it is barred, whatever else allows it. Lifted, it claims anew and waits for no earlier claim. */
  bar(isBarred: boolean): void {
    this.#isBarred = isBarred;
    if (isBarred) return;
    this.#claims.giveUpWaiting();
    this.#wakeAll();
    if (!this.#isPaused && this.#poll !== null) void this.#claims.look();
  }

  /** Queues of which this node has taken nothing for `ms` although it had free slots for them and was free to. */
  untouched(ms: number): string[] {
    const now = performance.now();
    return [...this.#pools.values()].flatMap((pool) => {
      if (!this.#isOpen(pool) || pool.used - pool.held >= pool.limit) pool.closedAtMs = now;
      return now - Math.max(pool.closedAtMs, pool.takenAtMs) < ms ? [] : pool.sources.map(({ queue }) => queue);
    });
  }

  /** When messages were last taken from a queue, and when a look at the queues was last answered; as `performance.now()`. */
  get claimTimes(): { takenAtMs: number; lookedAtMs: number } {
    const takenAtMs = Math.max(0, ...[...this.#pools.values()].map((pool) => pool.takenAtMs));
    return { takenAtMs, lookedAtMs: this.#claims.lookedAtMs };
  }

  reserve(runner: string, target: string, options: { requires?: Requires | null; inPlaceOf?: string } = {}): boolean {
    const { requires = null, inPlaceOf } = options;
    const pool = this.#pools.get(runner);
    if (pool === undefined || !this.#mayBegin(pool) || hasBacklog(pool)) return false;
    if (!this.offers(requires) || !this.#options.canRun(pool.runner.name, target)) return false;
    if (inPlaceOf !== undefined && this.#running.handOn(inPlaceOf, pool.runner)) return true;
    if (freeSlots(pool) <= 0) return false;
    // Whether they are what is asked for is not known here.
    if (inPlaceOf === undefined && requires === null && this.#leavesToPeers(pool, target)) return false;
    this.#take(pool);
    return true;
  }

  canRun(runner: string, target: string): boolean {
    const pool = this.#pools.get(runner);
    return pool !== undefined && this.#options.canRun(pool.runner.name, target);
  }

  offers(requires: Requires | null): boolean {
    return isOffered(requires, this.#place);
  }

  /** All needs that have a queue; asks again what this node can run when called without. */
  setNeeds(needs = this.#needs): void {
    this.#needs = needs;
    for (const pool of this.#pools.values()) {
      const mine = needs.filter((need) => need.runner === pool.queue && this.#fulfils(need));
      if (mine.length > 0 || pool.sources.length > 1) setSources(pool, mine);
      if (hasBacklog(pool)) void this.#claims.pump(pool);
    }
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
    const pool = this.#pools.get(runnerOfQueue(queue));
    if (pool === undefined) return;
    const source = pool.sources.find((one) => one.queue === queue);
    if (source === undefined) {
      if (!this.#needs.some((need) => need.queue === queue)) this.onNewNeed();
      return;
    }
    source.isWoken = true;
    if (pool.courtesy.holdsForMs > 0) this.#claims.pumpLater(pool);
    else this.#wakeNow(pool, queue);
  }

  /** Stops every running task of a job, or of the whole node when `jobId` is null. */
  stop(jobId: string | null, reason: StopReason): void {
    this.#running.stop(jobId, reason);
  }

  /** Stops what runs here since before `beforeMs` of `performance.now()` though it is not among the runs that are this node's by the database's word. */
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
    const until = performance.now() + graceMs;
    while (this.#isBusy() && performance.now() < until) await Bun.sleep(settledEveryMs);
    return this.#running.count;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#poll !== null) clearInterval(this.#poll);
    this.#poll = null;
    this.#claims.close();
  }

  #wakeAll(): void {
    for (const pool of this.#pools.values()) for (const { queue } of pool.sources) this.#wakeNow(pool, queue);
  }

  #isBusy(): boolean {
    return this.#running.count > 0 || [...this.#pools.values()].some((pool) => pool.claiming.size > 0);
  }

  #mayBegin(pool: Pool): boolean {
    return !this.#isBarred && this.#isOpen(pool);
  }

  #isOpen(pool: Pool): boolean {
    const { view } = this.#options.engine;
    if (this.#poll === null || this.#isPaused || view.maintenance || view.draining) return false;
    return !view.paused.has(pool.queue);
  }

  #fulfils({ runner, target, requires }: KnownNeed): boolean {
    return this.offers(requires) && (target === null || this.#options.canRun(runner, target));
  }

  #leavesToPeers(pool: Pool, target: string): boolean {
    return pool.courtesy.leaves(target, this.#options.engine.view.idlePeers[pool.queue], pool.used, pool.limit);
  }

  #wakeNow(pool: Pool, queue: string): void {
    const source = pool.sources.find((one) => one.queue === queue);
    if (source === undefined) return;
    source.backlog = true;
    source.isWoken = true;
    void this.#claims.pump(pool);
  }

  #take(pool: Pool): void {
    pool.used++;
    this.#tellSlots();
  }

  #give(pool: Pool): void {
    pool.used--;
    this.#tellSlots();
    if (hasBacklog(pool)) this.#claims.refill(pool);
  }

  #tellSlots(): void {
    for (const listener of this.#listeners) listener();
  }

  async #execute(task: Claimed): Promise<void> {
    const pool = this.#pools.get(task.runner);
    if (pool === undefined) throw new Error(`this node has no runner for ${task.runner}`);
    const files = this.#files.get(task.runner);
    const sinceMs = performance.now();
    const onFree = () => {
      pool.courtesy.learn(pool.queue === "script" ? "" : task.target, performance.now() - sinceMs);
      this.#give(pool);
    };
    await this.#running.execute(task, { runner: pool.runner, files, onFree });
  }
}

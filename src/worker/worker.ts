import { isConnectionFault } from "../db/client.ts";
import { claim } from "../engine/begin.ts";
import type { Claimed } from "../engine/claimed.ts";
import type { Engine, FastLane } from "../engine/context.ts";
import type { Appender } from "../engine/events.ts";
import type { Finisher } from "../engine/finish.ts";
import type { Log } from "../log.ts";
import { queuesWithWork } from "../queue/boss.ts";
import type { ActiveRun, Outcome, Runner, RunnerName, StopReason } from "../runners/contract.ts";
import { createPool, freeSlots, type Pool } from "./pool.ts";
import { failedToStart, noFacts, type RunFiles, startRun } from "./run-task.ts";
import { createSink } from "./sink.ts";

export type WorkerOptions = {
  engine: Engine;
  finisher: Finisher;
  appender: Appender;
  log: Log;
  runners: { runner: Runner; slots: number; files?: RunFiles }[];
  /** Whether this node can run that target at all. */
  canRun(runner: RunnerName, target: string): boolean;
};

type Running = { task: Claimed; active: ActiveRun | null; stopped: StopReason | null; sinceMs: number };

const pollEveryMs = 1_000;
const claimMax = 200;
const retryFirstMs = 100;
const retryMaxMs = 2_000;

/** The slots of this node, and the one place where engine and runners meet. Close it with `close`. */
export class Worker implements FastLane {
  readonly #options: WorkerOptions;
  readonly #pools = new Map<string, Pool>();
  readonly #files = new Map<string, RunFiles>();
  readonly #running = new Map<string, Running>();
  readonly #listeners = new Set<() => void>();
  #poll: ReturnType<typeof setInterval> | null = null;
  #accepting = false;
  #polling = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    for (const { runner, slots, files } of options.runners) {
      this.#pools.set(runner.name, createPool(runner, slots));
      if (files !== undefined) this.#files.set(runner.name, files);
    }
  }

  start(): void {
    this.#accepting = true;
    this.#poll = setInterval(() => void this.#look(), pollEveryMs);
    for (const pool of this.#pools.values()) void this.#pump(pool);
  }

  /** No new task is begun from now on; running ones go on. */
  pause(): void {
    this.#accepting = false;
  }

  resume(): void {
    if (this.#poll === null) return;
    this.#accepting = true;
    for (const pool of this.#pools.values()) this.wake(pool.queue);
  }

  reserve(runner: string, target: string, _priority: number): boolean {
    const pool = this.#pools.get(runner);
    if (pool === undefined || !this.#accepting || pool.backlog || freeSlots(pool) <= 0) return false;
    if (this.#options.engine.view.paused.has(runner) || !this.#options.canRun(pool.runner.name, target)) return false;
    this.#take(pool);
    return true;
  }

  run(task: Claimed): void {
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
    void this.#pump(pool);
  }

  /** Stops every running task of a job, or of the whole node when `jobId` is null. */
  stop(jobId: string | null, reason: StopReason): void {
    for (const run of this.#running.values()) {
      if (jobId !== null && run.task.jobId !== jobId) continue;
      run.stopped ??= reason;
      run.active?.stop(reason);
    }
  }

  /** Slots in use and in all, by runner. */
  slots(): Record<string, { used: number; limit: number }> {
    return Object.fromEntries(
      [...this.#pools.values()].map((pool) => [pool.queue, { used: pool.used, limit: pool.limit }]),
    );
  }

  get lastClaimAtMs(): number | null {
    return [...this.#pools.values()].reduce<number | null>(
      (newest, pool) => Math.max(newest ?? 0, pool.lastClaimAtMs ?? 0) || null,
      null,
    );
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** Since when the oldest running task of a runner runs, in ms since the epoch; null when none does. */
  oldestRunningMs(runner: RunnerName): number | null {
    const since = [...this.#running.values()].filter((run) => run.task.runner === runner).map((run) => run.sinceMs);
    return since.length === 0 ? null : Math.min(...since);
  }

  /** Calls `listener` whenever a slot is taken or given back. */
  onSlots(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when nothing runs any more, or after `graceMs`. Returns how many still run. */
  async settled(graceMs: number): Promise<number> {
    const until = Date.now() + graceMs;
    while (this.#running.size > 0 && Date.now() < until) await Bun.sleep(20);
    return this.#running.size;
  }

  close(): void {
    this.#accepting = false;
    if (this.#poll !== null) clearInterval(this.#poll);
    this.#poll = null;
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
    if (this.#polling || !this.#accepting) return;
    this.#polling = true;
    try {
      const idle = [...this.#pools.values()].filter((pool) => !pool.backlog).map((pool) => pool.queue);
      if (idle.length > 0)
        for (const queue of await queuesWithWork(this.#options.engine.db.sql, idle)) this.wake(queue);
      for (const pool of this.#pools.values()) if (pool.backlog) void this.#pump(pool);
    } catch (fault) {
      if (!isConnectionFault(fault)) this.#options.log.error("looking for work failed", { fault });
    } finally {
      this.#polling = false;
    }
  }

  async #pump(pool: Pool): Promise<void> {
    if (pool.claiming) return;
    pool.claiming = true;
    try {
      while (
        pool.backlog &&
        this.#accepting &&
        freeSlots(pool) > 0 &&
        !this.#options.engine.view.paused.has(pool.queue)
      )
        await this.#claimInto(pool);
    } catch (fault) {
      if (!isConnectionFault(fault)) this.#options.log.error("claiming failed", { queue: pool.queue, fault });
    } finally {
      pool.claiming = false;
    }
  }

  async #claimInto(pool: Pool): Promise<void> {
    // A message that arrives while the claim is on its way sets the backlog again.
    pool.backlog = false;
    const most = Math.min(freeSlots(pool), claimMax);
    pool.used += most;
    let used = 0;
    try {
      const { claimed, taken } = await claim(this.#options.engine, pool.queue, most);
      used = claimed.length;
      if (taken === most) pool.backlog = true;
      if (used > 0) pool.lastClaimAtMs = Date.now();
      for (const task of claimed) void this.#execute(task);
    } catch (fault) {
      pool.backlog = true;
      throw fault;
    } finally {
      pool.used -= most - used;
      for (const listener of this.#listeners) listener();
    }
  }

  async #execute(task: Claimed): Promise<void> {
    const { appender, log, finisher } = this.#options;
    const pool = this.#pools.get(task.runner);
    if (pool === undefined) throw new Error(`this node has no runner for ${task.runner}`);
    const sink = createSink(task, appender, (fault) => log.warn("events were not written", { job: task.jobId, fault }));
    const run: Running = { task, active: null, stopped: null, sinceMs: Date.now() };
    this.#running.set(task.runId, run);
    try {
      run.active = await this.#begin(pool, task, sink);
      if (run.stopped !== null) run.active.stop(run.stopped);
      const { outcome, facts } = await run.active.done;
      this.#give(pool);
      await this.#files.get(task.runner)?.after(task);
      const events = await sink.rest();
      await this.#persist(() => finisher.finish(task, outcome, facts, events), task);
    } catch (fault) {
      log.error("a run could not be recorded", { job: task.jobId, task: task.index, fault });
      await this.#failUnrecorded(task);
    } finally {
      this.#running.delete(task.runId);
    }
  }

  /** Whatever went wrong with its result, a task must not stay running. */
  async #failUnrecorded(task: Claimed): Promise<void> {
    const outcome: Outcome = {
      kind: "failed",
      error: { code: "runner_error", message: "The result could not be stored" },
    };
    await this.#persist(() => this.#options.finisher.finish(task, outcome, noFacts), task).catch((fault: unknown) =>
      this.#options.log.error("a failure could not be recorded", { job: task.jobId, fault }),
    );
  }

  async #begin(pool: Pool, task: Claimed, sink: ReturnType<typeof createSink>): Promise<ActiveRun> {
    const files = this.#files.get(task.runner);
    if (files === undefined) return startRun(pool.runner, task, sink, null);
    try {
      return startRun(pool.runner, task, sink, await files.before(task));
    } catch (fault) {
      return failedToStart(fault);
    }
  }

  /** A result is never dropped because Postgres is away: it is offered until it is recorded or refused by the fence. */
  async #persist(write: () => Promise<unknown>, task: Claimed): Promise<void> {
    for (let waitMs = retryFirstMs; ; waitMs = Math.min(waitMs * 2, retryMaxMs)) {
      try {
        await write();
        return;
      } catch (fault) {
        if (!isConnectionFault(fault)) throw fault;
        this.#options.log.warn("the database is away: a result waits", { job: task.jobId, wait_ms: waitMs });
        await Bun.sleep(waitMs);
      }
    }
  }
}

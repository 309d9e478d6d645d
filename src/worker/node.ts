import type { Engine } from "../engine/context.ts";
import {
  type LeaseTimes,
  leaseTimes,
  type NodeState,
  reclaim,
  register,
  type Renewal,
  renew,
  resign,
  type WorkState,
} from "../engine/lease.ts";
import { decode } from "../engine/notify.ts";
import type { Log } from "../log.ts";
import { within } from "../within.ts";
import { Chores } from "./chores.ts";
import { ClaimWatch, type WatchTimes, watchTimesOf } from "./claim-watch.ts";
import { Listening } from "./listening.ts";
import type { Worker } from "./worker.ts";

export type NodeOptions = {
  engine: Engine;
  worker: Worker | null;
  log: Log;
  state(): NodeState;
  lease?: Partial<LeaseTimes>;
  watch?: Partial<WatchTimes>;
};

/** How often readers and waiters look for what other nodes do when no notification can be heard. */
const pollEveryMs = 1_000;

/** This process as a member of the cluster: its lease, what it hears from others, and the tasks of those that vanished. */
export class Node {
  readonly #options: NodeOptions;
  readonly #times: LeaseTimes;
  readonly #bootId = crypto.randomUUID();
  readonly #chores: Chores;
  readonly #watch: ClaimWatch | null;
  readonly #listening: Listening;
  #timer: ReturnType<typeof setInterval> | null = null;
  #renewal: Promise<void> | null = null;
  #renewAgain = false;
  /** Of the clock that nobody sets, as `performance.now()`. */
  #renewedAtMs = performance.now();
  #isStopped = false;
  #wasReplaced = false;
  #isLate = false;
  #hasPausedWorker = false;
  #needsStamp = "0";
  #reading: Promise<void> | null = null;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#times = { ...leaseTimes, ...options.lease };
    this.#chores = new Chores(options);
    this.#listening = new Listening({ ...options, hear: (payload) => this.#hear(payload) });
    const watchTimes = { ...watchTimesOf(this.#times.leaseMs), ...options.watch };
    this.#watch = options.worker === null ? null : new ClaimWatch(options.worker, options.log, watchTimes);
    if (options.worker !== null) options.worker.onNewNeed = () => void this.#readNeeds("");
  }

  /** Why this node takes no work though it should; null while it is well. */
  get complaint(): string | null {
    return this.#watch?.complaint ?? null;
  }

  /** False once the lease was not renewed in time, or another process has this node's name. */
  get hasLease(): boolean {
    return !this.#isLate && !this.#wasReplaced;
  }

  /** Takes the node's name, returns what an earlier process of that name left running, and keeps the lease. */
  async start(): Promise<void> {
    const { engine } = this.#options;
    const { maintenance } = await register(engine.db.lease, engine.nodeId, this.#bootId, this.#state(), this.#times);
    engine.view.maintenance = maintenance;
    this.#renewedAtMs = performance.now();
    await this.#chores.returnLost("own name", "tasks of an earlier process were queued again");
    await this.#listening.start();
    await this.#tick();
    const { renewEveryMs } = this.#times;
    // Where nobody tells, the renewal is how a node hears that it shall stop something.
    const everyMs = engine.db.listener === null ? Math.min(renewEveryMs, pollEveryMs) : renewEveryMs;
    this.#timer = setInterval(() => void this.#tick(), everyMs);
  }

  /** Gives up the lease. Nothing may run on this node any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#listening.stop();
    await this.#renewal;
    await this.#reading;
    await this.#chores.settled();
    await resign(this.#options.engine.db.lease, this.#options.engine.nodeId, this.#bootId);
  }

  #hear(payload: string): void {
    const { engine, worker } = this.#options;
    const news = decode(payload, engine.self);
    switch (news?.kind) {
      case "queued":
        worker?.wake(news.queue);
        break;
      case "job":
        engine.hub.poke(news.jobId);
        break;
      case "stop":
        worker?.stop(news.jobId, "cancelled");
        break;
      case "nodes":
      case "pauses":
        void this.#tick();
        break;
    }
  }

  /** Renews at once, or once more when a renewal is on its way: that one may have read what has changed since. */
  async #tick(): Promise<void> {
    this.#giveUpWhenLate();
    if (this.#isStopped) return;
    this.#renewAgain = true;
    this.#renewal ??= this.#renewWhileAsked().finally(() => {
      this.#renewal = null;
    });
    await this.#renewal;
  }

  async #renewWhileAsked(): Promise<void> {
    while (this.#renewAgain && !this.#isStopped) {
      this.#renewAgain = false;
      await this.#renew().catch((fault: unknown) =>
        this.#options.log.warn("the lease could not be renewed", { fault }),
      );
      this.#giveUpWhenLate();
    }
  }

  async #renew(): Promise<void> {
    const { engine } = this.#options;
    // The lease counts from here at the earliest: the answer may have taken long.
    const askedAtMs = performance.now();
    const asked = renew(engine.db.lease, engine.nodeId, this.#bootId, this.#state(), this.#times, this.#workState());
    const renewal = await within(asked, this.#times.giveUpAfterMs);
    if (renewal.replaced) {
      this.#leave();
      return this.#comeBack();
    }
    this.#renewedAtMs = askedAtMs;
    this.#isLate = false;
    // The answer was on its way for half of the time, more or less.
    engine.view.clockAheadMs = Math.round(renewal.databaseMs - Date.now() + (performance.now() - askedAtMs) / 2);
    this.#apply(renewal, askedAtMs);
    this.#chores.begin(renewal);
  }

  #apply(renewal: Renewal, askedAtMs: number): void {
    const { engine, worker } = this.#options;
    const unpaused = [...engine.view.paused].filter((queue) => !renewal.paused.includes(queue));
    engine.view.hasPeers = renewal.hasPeers;
    engine.view.paused = new Set(renewal.paused);
    engine.view.maintenance = renewal.maintenance || renewal.draining;
    engine.view.idlePeers = renewal.idlePeers;
    if (worker === null) return;
    this.#pauseWorker(worker, engine.view.maintenance || engine.view.draining);
    for (const queue of unpaused) worker.wake(queue);
    for (const jobId of renewal.stopping) worker.stop(jobId, "cancelled");
    worker.fence(new Set(renewal.owned), askedAtMs - this.#times.renewEveryMs * 2);
    // What it can run may have changed as well.
    if (renewal.needsStamp === this.#needsStamp) worker.setNeeds();
    else void this.#readNeeds(renewal.needsStamp);
    this.#judge(renewal.overdue);
  }

  #judge(overdue: readonly string[]): void {
    const before = this.complaint;
    this.#watch?.judge(overdue);
    // Others are told at once.
    if (this.complaint !== before) this.#renewAgain = true;
  }

  /** A node that does no work has no slots to offer, whatever it is built with. */
  #state(): NodeState {
    const state = this.#options.state();
    return this.#options.engine.lane === null ? { ...state, slots: {} } : state;
  }

  #workState(): WorkState {
    return {
      isLeaving: this.#options.engine.view.draining,
      complaint: this.complaint,
      suspects: this.#watch?.suspects() ?? [],
      patienceMs: this.#watch?.patienceMs ?? 0,
    };
  }

  /** Tells the worker of all needs. `stamp` is the one that they had at the least. */
  #readNeeds(stamp: string): Promise<void> {
    this.#reading ??= this.#options.engine.needs
      .read()
      .then((needs) => {
        this.#options.worker?.setNeeds(needs);
        this.#needsStamp = stamp;
      })
      .catch((fault: unknown) => this.#options.log.warn("what tasks need could not be read", { fault }))
      .finally(() => {
        this.#reading = null;
      });
    return this.#reading;
  }

  #pauseWorker(worker: Worker, isPaused: boolean): void {
    if (isPaused === this.#hasPausedWorker) return;
    this.#hasPausedWorker = isPaused;
    if (isPaused) worker.pause();
    else worker.resume();
  }

  /** The name belongs to another process, which has returned what ran here: this one may only stop. */
  #leave(): void {
    const { engine, worker, log } = this.#options;
    if (!this.#wasReplaced)
      log.error("another process has taken this node's name: give each its own NODE_NAME", { node: engine.nodeId });
    this.#wasReplaced = true;
    if (worker === null) return;
    this.#pauseWorker(worker, true);
    worker.stop(null, "fenced");
  }

  /** Whoever took the name may have ended meanwhile: then it is free again, and with it what that process left running. */
  async #comeBack(): Promise<void> {
    const { engine, log } = this.#options;
    const askedAtMs = performance.now();
    if (this.#isStopped || engine.view.draining) return;
    if (!(await reclaim(engine.db.lease, engine.nodeId, this.#bootId, this.#state(), this.#times))) return;
    this.#renewedAtMs = askedAtMs;
    this.#isLate = false;
    this.#wasReplaced = false;
    log.info("this node has its name back", { node: engine.nodeId });
    await this.#chores.returnLost("own name", "tasks of an earlier process were queued again");
    this.#renewAgain = true;
  }

  /** Whoever cannot renew must have stopped before others may start its tasks again. */
  #giveUpWhenLate(): void {
    if (this.#isLate || this.#isStopped || performance.now() - this.#renewedAtMs < this.#times.giveUpAfterMs) return;
    this.#isLate = true;
    const { worker, log } = this.#options;
    log.error("the lease could not be renewed in time: stopping what runs here", {});
    if (worker === null) return;
    this.#pauseWorker(worker, true);
    worker.stop(null, "fenced");
  }
}

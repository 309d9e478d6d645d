import type { Engine } from "../engine/context.ts";
import { giveUpAfterMs, type NodeState, reap, register, renew, renewEveryMs, resign, unpark } from "../engine/lease.ts";
import { channel, decode } from "../engine/notify.ts";
import type { Log } from "../log.ts";
import type { Worker } from "./worker.ts";

export type NodeOptions = { engine: Engine; worker: Worker | null; log: Log; state(): NodeState };

const countEveryMs = 5_000;
const unparkEveryMs = 15_000;

/** This process as a member of the cluster: its lease, what it hears from others, and the tasks of those that vanished. */
export class Node {
  readonly #options: NodeOptions;
  readonly #bootId = crypto.randomUUID();
  #timer: ReturnType<typeof setInterval> | null = null;
  #renewing = false;
  #renewedAtMs = Date.now();
  #countedAtMs = 0;
  #unparkedAtMs = 0;
  #gaveUp = false;
  #unlisten: (() => Promise<void>) | null = null;

  constructor(options: NodeOptions) {
    this.#options = options;
  }

  /** Takes the node's name, returns what an earlier process of that name left running, and keeps the lease. */
  async start(): Promise<void> {
    const { engine, log, state, worker } = this.#options;
    const { maintenance } = await register(engine.db.sql, engine.nodeId, this.#bootId, state());
    engine.view.maintenance = maintenance;
    if (worker !== null) {
      for (
        let returned = await reap(engine, { ownName: true });
        returned > 0;
        returned = await reap(engine, { ownName: true })
      ) {
        log.warn("tasks of an earlier process were queued again", { tasks: returned });
      }
    }
    await this.#listen();
    await this.#tick();
    this.#timer = setInterval(() => void this.#tick(), renewEveryMs);
  }

  /** Gives up the lease. Nothing may run on this node any more. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#unlisten?.().catch((fault: unknown) => this.#options.log.debug("unlisten failed", { fault }));
    await resign(this.#options.engine.db.sql, this.#options.engine.nodeId, this.#bootId);
  }

  async #listen(): Promise<void> {
    const { engine } = this.#options;
    const subscription = await engine.db.sql.listen(
      channel,
      (payload) => this.#hear(payload),
      () => engine.hub.pokeAll(),
    );
    this.#unlisten = () => subscription.unlisten();
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

  async #tick(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      await this.#renew();
      await this.#chores();
    } catch (fault) {
      this.#options.log.warn("the lease could not be renewed", { fault });
    } finally {
      this.#renewing = false;
      this.#giveUpWhenLate();
    }
  }

  async #renew(): Promise<void> {
    const { engine, worker, state, log } = this.#options;
    const renewal = await renew(engine.db.sql, engine.nodeId, this.#bootId, state());
    if (renewal.replaced) {
      log.error("another process has taken this node's name: give each its own NODE_NAME", { node: engine.nodeId });
      worker?.stop(null, "fenced");
      return;
    }
    this.#renewedAtMs = Date.now();
    this.#gaveUp = false;
    const resumed = engine.view.paused.size > 0 || engine.view.maintenance;
    engine.view.hasPeers = renewal.hasPeers;
    engine.view.paused = new Set(renewal.paused);
    engine.view.maintenance = renewal.maintenance || renewal.draining;
    this.#applyMaintenance(resumed);
    for (const jobId of renewal.stopping) worker?.stop(jobId, "cancelled");
    if (renewal.expired && worker !== null) {
      const returned = await reap(engine, { ownName: false });
      if (returned > 0) log.warn("tasks of vanished nodes were queued again", { tasks: returned });
    }
  }

  #applyMaintenance(mayResume: boolean): void {
    const { engine, worker } = this.#options;
    if (engine.view.maintenance || engine.view.draining) worker?.pause();
    else if (mayResume) worker?.resume();
  }

  async #chores(): Promise<void> {
    const { engine } = this.#options;
    const now = Date.now();
    if (now - this.#countedAtMs > countEveryMs && engine.view.waiting > 0) {
      this.#countedAtMs = now;
      engine.view.waiting = await countWaiting(engine);
    }
    if (now - this.#unparkedAtMs > unparkEveryMs) {
      this.#unparkedAtMs = now;
      await unpark(engine);
    }
  }

  /** Whoever cannot renew must have stopped before others may start its tasks again. */
  #giveUpWhenLate(): void {
    if (this.#gaveUp || Date.now() - this.#renewedAtMs < giveUpAfterMs) return;
    this.#gaveUp = true;
    this.#options.log.error("the lease could not be renewed in time: stopping what runs here", {});
    this.#options.worker?.stop(null, "interrupted");
  }
}

async function countWaiting(engine: Engine): Promise<number> {
  const [row] = await engine.db.sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM (
      SELECT 1 FROM tasks WHERE status = 'queued' AND queued_at IS NOT NULL LIMIT ${engine.queueMax + 1}) t`;
  return row?.count ?? 0;
}

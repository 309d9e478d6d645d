import type { Engine } from "../engine/context.ts";
import { channel } from "../engine/notify.ts";
import type { Log } from "../log.ts";

export type ListeningTimes = {
  /** How often readers and waiters look for what other nodes do when no notification can be heard. */
  pollEveryMs: number;
  /** How often the connection that hears is asked for a sign of life: it would be silent for ever after a firewall has forgotten it. */
  probeEveryMs: number;
};

const usual: ListeningTimes = { pollEveryMs: 1_000, probeEveryMs: 30_000 };
const stopPatienceMs = 1_000;

export type ListeningOptions = {
  engine: Engine;
  log: Log;
  /** Called with what another node tells. */
  hear(payload: string): void;
  times?: Partial<ListeningTimes>;
};

/** Hears what nodes tell each other, again and again over lost connections; without anybody to hear it looks now and then instead. */
export class Listening {
  readonly #options: ListeningOptions;
  readonly #times: ListeningTimes;
  #timer: ReturnType<typeof setInterval> | null = null;
  #unlisten: (() => Promise<void>) | null = null;
  #probe: Promise<void> | null = null;
  #probes = 0;

  constructor(options: ListeningOptions) {
    this.#options = options;
    this.#times = { ...usual, ...options.times };
  }

  async start(): Promise<void> {
    const { engine, hear } = this.#options;
    const { listener } = engine.db;
    if (listener === null) {
      this.#timer = setInterval(() => {
        if (engine.view.hasPeers) engine.hub.pokeAll();
      }, this.#times.pollEveryMs);
      return;
    }
    // What was told while nobody listened is looked for at each new beginning.
    const subscription = await listener.listen(channel, hear, () => engine.hub.pokeAll());
    this.#unlisten = () => subscription.unlisten();
    this.#timer = setInterval(() => {
      this.#probe ??= this.#askForLife().finally(() => {
        this.#probe = null;
      });
    }, this.#times.probeEveryMs);
  }

  /** Does not wait for a connection that leads nowhere: it is closed with the database. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    const fault = this.#unlisten?.().catch((cause: unknown) => this.#options.log.debug("unlisten failed", { cause }));
    await Promise.race([fault, Bun.sleep(stopPatienceMs)]);
  }

  /**
   * Makes the driver send something on the connection that listens. Without an answer the driver gives that up after a while, and
   * listens on a new one. Each name is used once: after a failure the driver keeps it, and would send nothing.
   */
  async #askForLife(): Promise<void> {
    const name = `${channel}_probe_${++this.#probes}`;
    try {
      const subscription = await this.#options.engine.db.listener?.listen(name, () => undefined);
      await subscription?.unlisten();
    } catch (fault) {
      this.#options.log.warn("the connection that hears of other nodes was lost: listening anew", { fault });
    }
  }
}

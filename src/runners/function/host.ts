import { Connection } from "./connection.ts";
import { followOutput } from "./follow.ts";
import type { Order, Reply } from "./frames.ts";
import { type Child, spawnChild } from "./spawn.ts";
import { killGroup, killTree } from "./tree.ts";
import type { Work } from "./work.ts";

export type HostOptions = {
  /** What functions see as their environment; nothing is added. */
  environment: Record<string, string>;
  /** Working directory of the functions. */
  cwd: string;
  resultBytesMax: number;
  /** Text that belongs to no work; of each process only so much is told. */
  onStray(text: string): void;
};

export type HostExit = { exitCode: number | null; signal: string | null; wasKilled: boolean; breach: string | null };

export type HostEvents = {
  reply(reply: Reply): void;
  /** Who answers for text that comes in around the connection. */
  running(): Work | undefined;
  /** It has closed its sockets and is about to end, or is made to. */
  closing(): void;
  /** It and its group are gone, and everything it said has been told. Once, last. */
  gone(exit: HostExit): void;
};

/** A process that ends closes its sockets first; one that only closes them has this long to live. */
const silenceMs = 500;
/** The sockets of a dead process are read to their end, which comes at once unless something else holds them. */
const drainMs = 2_000;
const slackBytes = 1_048_576;
const strayCharsMax = 65_536;

/** The operating system's side of one function process: its start, its sockets, its group and its end. */
export class Host {
  /** Settles when both its outputs have been read to their end. */
  readonly printed: Promise<unknown>;
  readonly #child: Child;
  readonly #connection: Connection;
  readonly #events: HostEvents;
  readonly #onStray: (text: string) => void;
  #strayCharsLeft = strayCharsMax;
  #breach: string | null = null;
  #wasKilled = false;
  #isSilent = false;
  #isGone = false;
  #exit: { exitCode: number | null; signal: string | null } | null = null;
  #timer: Timer | null = null;

  /** Starts the process. Throws when the system refuses. */
  constructor({ environment, cwd, resultBytesMax, onStray }: HostOptions, events: HostEvents) {
    this.#events = events;
    this.#onStray = onStray;
    this.#connection = new Connection(resultBytesMax + slackBytes, {
      reply: (reply) => events.reply(reply),
      pause: () => events.running()?.flush(),
      breach: (message) => this.#broke(message),
      closed: () => this.#fellSilent(),
    });
    const onExit = (exitCode: number | null, signal: string | null) => this.#exited(exitCode, signal);
    this.#child = spawnChild({ environment, cwd, onExit });
    this.printed = Promise.allSettled([
      followOutput(this.#child.stdout, "info", events.running, (text) => this.stray(text)),
      followOutput(this.#child.stderr, "warn", events.running, (text) => this.stray(text)),
    ]);
    void this.#connect();
  }

  get pid(): number {
    return this.#child.pid;
  }

  get wasKilled(): boolean {
    return this.#wasKilled;
  }

  send(order: Order): void {
    this.#connection.send(order);
  }

  /** Reads no more of what it says until the promise settles. */
  holdUntil(settled: Promise<void>): void {
    this.#connection.holdUntil(settled);
  }

  /** Tells text that belongs to no work. */
  stray(text: string): void {
    if (this.#strayCharsLeft <= 0) return;
    this.#onStray(text.slice(0, this.#strayCharsLeft));
    this.#strayCharsLeft -= text.length;
  }

  /** Has it end by itself. */
  hangUp(): void {
    this.#connection.hangUp();
  }

  /** Kills the process and everything it started. */
  kill(): void {
    if (this.#wasKilled || this.#exit !== null) return;
    this.#wasKilled = true;
    killTree(this.pid);
    this.#connection.readToEnd();
  }

  /** Kills it after this time, unless called again or called off. */
  killAfter(ms: number): void {
    this.#after(ms, () => this.kill());
  }

  callOff(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #connect(): Promise<void> {
    try {
      await this.#connection.open(this.#child.ordersFd, this.#child.repliesFd);
    } catch (fault) {
      this.stray(`A function process could not be reached: ${String(fault)}`);
      this.kill();
    }
  }

  #broke(message: string): void {
    this.#breach ??= message;
    this.kill();
  }

  #fellSilent(): void {
    this.#isSilent = true;
    if (this.#exit !== null) {
      this.#leave();
      return;
    }
    this.#events.closing();
    this.#after(silenceMs, () => this.#broke("The function closed the connection of its process"));
  }

  #exited(exitCode: number | null, signal: string | null): void {
    this.#exit = { exitCode, signal };
    this.callOff();
    killGroup(this.pid);
    this.#connection.readToEnd();
    if (this.#isSilent) this.#leave();
    else this.#after(drainMs, () => this.#leave());
  }

  #leave(): void {
    if (this.#isGone || this.#exit === null) return;
    this.#isGone = true;
    this.callOff();
    this.#connection.close();
    this.#events.gone({ ...this.#exit, wasKilled: this.#wasKilled, breach: this.#breach });
  }

  #after(ms: number, act: () => void): void {
    this.callOff();
    this.#timer = setTimeout(act, ms);
  }
}

import type { Reply } from "./frames.ts";
import { Host, type HostExit, type HostOptions } from "./host.ts";
import { residentMb } from "./memory.ts";
import type { Work, WorkEnd } from "./work.ts";

export type ProcessOptions = HostOptions & {
  /** What a function that holds its signal gets between the signal and the end of its process. */
  graceMs: number;
  /** A process that used this much memory is replaced after its work. */
  recycleMb: number;
};

/** What the pool is told. `gone` comes once, last. */
export type ProcessEvents = {
  /** It can take work: at its start, and after each piece of work. */
  free(member: FunctionProcess): void;
  /** The process has not begun this work and will not. */
  returned(work: Work): void;
  gone(member: FunctionProcess): void;
};

/** A process that does not answer `abort` within this time is blocked: its function cannot clean up. */
const answerMs = 50;
/** One that does not end in this time after being told to is killed. */
const leaveMs = 2_000;
const startMs = 20_000;
/** How long the output of a dead process is followed; others may hold it open. */
const lastWordsMs = 50;
const watchFromMs = 100;
const watchEveryMs = 250;
/** What was given to a process ahead of time is taken back from one that is held up for so long. */
const heldUpMs = 10;
const aheadMax = 32;
const returnsMax = 3;
const nonces = 2 ** 52;

/**
 * One warm process that executes one piece of work at a time, in the order given. Only the first can have been begun: how
 * an execution ended is said before the next begins.
 */
export class FunctionProcess {
  /** `leaving`: it takes no more work, and ends by itself or is being killed. */
  state: "starting" | "idle" | "busy" | "leaving" | "gone" = "starting";
  wasReady = false;
  idleSinceMs = 0;
  readonly #work: Work[] = [];
  readonly #options: ProcessOptions;
  readonly #events: ProcessEvents;
  readonly #host: Host;
  #isWorn = false;
  #isReleasing = false;
  #watchedAtMs = 0;

  /** Starts the process. Throws when the system refuses. */
  constructor(
    readonly generation: number,
    options: ProcessOptions,
    events: ProcessEvents,
  ) {
    this.#options = options;
    this.#events = events;
    this.#host = new Host(options, {
      reply: (reply) => this.#heard(reply),
      running: () => this.#work[0],
      closing: () => {
        this.state = "leaving";
      },
      gone: (exit) => this.#gone(exit),
    });
    this.#host.killAfter(startMs);
  }

  /** Whether it may be given more work before it has ended what it has: only where all of it is quick. */
  get takesAhead(): boolean {
    if (this.state !== "busy" || this.#isWorn || this.#isReleasing || this.#work.length >= aheadMax) return false;
    return this.#work.every((work) => work.options.speed.isQuick && work.stopReason === null);
  }

  /** Pieces of work it has and has not ended. */
  get load(): number {
    return this.#work.length;
  }

  /** For how long its present work has been running; infinity when it takes none. */
  ranMs(nowMs: number): number {
    if (this.state === "idle") return 0;
    const [work] = this.#work;
    return this.state === "busy" && work !== undefined ? nowMs - work.startedAtMs : Number.POSITIVE_INFINITY;
  }

  /** Call on an idle process, or on one that takes work ahead. */
  assign(work: Work): void {
    this.state = "busy";
    this.#work.push(work);
    work.nonce = Math.floor(Math.random() * nonces).toString(36);
    work.heldBy(() => this.#stop(work));
    this.#host.send(work.options.order(work.nonce));
    if (this.#work.length === 1) this.#beginFirst();
  }

  /** Stops whatever it has. */
  stopAll(): void {
    for (const work of [...this.#work]) work.stop("interrupted");
  }

  /** Ends an idle process; one that is starting or busy is killed. */
  leave(): void {
    const wasIdle = this.state === "idle";
    if (wasIdle) this.#host.hangUp();
    this.state = "leaving";
    if (wasIdle) this.#host.killAfter(leaveMs);
    else this.#host.kill();
  }

  /** Looks after the limits of what runs. Call every few milliseconds. */
  watch(nowMs: number): void {
    const [work] = this.#work;
    if (this.state !== "busy" || work === undefined) return;
    const ranMs = nowMs - work.startedAtMs;
    if (ranMs >= work.options.timeoutMs) work.stop("timed_out");
    else if (ranMs >= heldUpMs && this.#work.length > 1) this.#release();
    if (ranMs < watchFromMs || nowMs < this.#watchedAtMs + watchEveryMs) return;
    this.#watchedAtMs = nowMs;
    work.sawMemory(residentMb(this.#host.pid) ?? 0);
  }

  #beginFirst(): void {
    const [work] = this.#work;
    if (work === undefined) return;
    work.startedAtMs = performance.now();
    this.#watchedAtMs = work.startedAtMs;
    if (work.stopReason !== null) this.#stop(work);
  }

  /** This work is to end: its reason has been recorded. */
  #stop(work: Work): void {
    if (this.state !== "busy") return;
    const reason = work.stopReason;
    if (work !== this.#work[0]) {
      this.#release();
    } else if (reason === "fenced" || typeof reason === "object") {
      this.leave();
    } else {
      this.state = "leaving";
      const told = reason === "timed_out" ? "timed_out" : "cancelled";
      this.#host.send({ kind: "abort", nonce: work.nonce, reason: told });
      this.#host.killAfter(answerMs);
    }
  }

  #release(): void {
    if (this.#isReleasing) return;
    this.#isReleasing = true;
    this.#host.send({ kind: "release" });
  }

  #heard(reply: Reply): void {
    const [work] = this.#work;
    if (reply.kind === "ready") {
      if (this.state === "starting") this.#becameReady();
    } else if (reply.kind === "stray") {
      this.#host.stray(reply.text);
    } else if (reply.kind === "released") {
      this.#released(reply.nonces);
    } else if (reply.kind === "retiring") {
      this.#retired();
    } else if (work !== undefined && work.nonce === reply.nonce) {
      this.#told(work, reply);
    }
    // Anything else is for an execution that is over, or made up by one that does not know its successor's nonce.
  }

  #told(work: Work, reply: Extract<Reply, { nonce: string }>): void {
    if (reply.kind === "done" || reply.kind === "failed") {
      this.#ended(work, reply);
    } else if (reply.kind === "aborting") {
      if (reply.isWatched) this.#host.killAfter(this.#options.graceMs);
      else this.#host.kill();
    } else {
      const settled = work.heard(reply);
      if (settled !== undefined) this.#host.holdUntil(settled);
    }
  }

  #ended(work: Work, reply: Extract<Reply, { kind: "done" | "failed" }>): void {
    const isOnly = this.#work.length === 1;
    if (isOnly && work.stopReason !== null) {
      // What was stopped ends with its whole process, so that nothing it started is left. With more behind it, it was over
      // before it could hear of that: a process that hears it gives the others back first.
      this.#host.kill();
      return;
    }
    this.#work.shift();
    settle(work, reply);
    if (reply.kind === "failed" && reply.isFatal) this.leave();
    if (this.#host.wasKilled) return;
    if (reply.rssMb > this.#options.recycleMb) this.#isWorn = true;
    this.#next();
  }

  #next(): void {
    this.#host.callOff();
    const isIdle = this.#work.length === 0;
    this.state = isIdle ? "idle" : "busy";
    if (!isIdle) this.#beginFirst();
    else this.idleSinceMs = performance.now();
    if (isIdle && this.#isWorn) this.leave();
    else if (isIdle || this.takesAhead) this.#events.free(this);
  }

  #becameReady(): void {
    this.wasReady = true;
    this.#next();
  }

  #released(given: string[]): void {
    this.#isReleasing = false;
    const [first] = this.#work;
    const back = this.#work.filter((work) => given.includes(work.nonce));
    for (const work of back) this.#work.splice(this.#work.indexOf(work), 1);
    this.#return(back);
    // Between two executions even the first has not been begun.
    if (this.state === "busy" && this.#work[0] !== first) this.#next();
  }

  #retired(): void {
    const [first] = this.#work;
    const wasLeaving = this.state === "leaving";
    this.state = "leaving";
    this.#host.killAfter(leaveMs);
    if (first === undefined || wasLeaving || first.returns >= returnsMax) return;
    first.returns += 1;
    this.#return(this.#work.splice(0));
  }

  /** Last first, so that they come to stand in their order. */
  #return(works: Work[]): void {
    for (const work of works.toReversed()) this.#events.returned(work);
  }

  #gone(exit: HostExit): void {
    this.state = "gone";
    const [first] = this.#work;
    // Killed for the sake of another, it has done nothing wrong.
    const isInnocent = first?.stopReason === null && exit.wasKilled && exit.breach === null;
    const back = this.#work.splice(isInnocent ? 0 : 1);
    if (first !== undefined && !isInnocent) void this.#endAfterLastWords(first, exit);
    this.#events.gone(this);
    this.#return(back);
  }

  async #endAfterLastWords(work: Work, exit: HostExit): Promise<void> {
    const end = endOf(work, exit);
    if (end.by === "exit") await Promise.race([this.#host.printed, Bun.sleep(lastWordsMs)]);
    work.end(end);
  }
}

function settle(work: Work, reply: Extract<Reply, { kind: "done" | "failed" }>): void {
  const { wallMs, cpuMs, rssMb } = reply;
  const measured = { wallMs, cpuMs, rssMb };
  if (work.stopReason !== null) work.end({ by: "stop", exitCode: null, signal: null });
  else if (reply.kind === "done") work.end({ by: "done", json: reply.json, ...measured });
  else work.end({ by: "failed", code: reply.code, message: reply.message, ...measured });
}

function endOf(work: Work, { exitCode, signal, breach }: HostExit): WorkEnd {
  if (work.stopReason !== null) return { by: "stop", exitCode, signal };
  return breach === null ? { by: "exit", exitCode, signal } : { by: "breach", message: breach };
}

import { randomUUID } from "node:crypto";
import { mkdtempSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Limits } from "../limits.ts";
import type { Setting } from "../sandbox/prepare.ts";
import { isAlive } from "../sandbox/processes.ts";
import { drop, type Raised, raise } from "../sandbox/raise.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";

/** Times in milliseconds. */
export type SparesOptions = {
  sandbox: Sandbox;
  /** What a sandbox is raised for: the command and the limits that most runs have. */
  command: string[];
  limits: Limits;
  /** For how long one stands for the sake of an upload that may come. */
  keepMs?: number;
  /** For how long one waits for the upload that was given its directory. */
  holdMs?: number;
};

type Spare = { raised: Raised; directory: string; file: string; timer: Timer };

const keepMsUsual = 60_000;
const holdMsUsual = 5_000;
/** Directories that were given away and have not become runs. */
const heldMax = 4;

/**
 * Sandboxes that stand before there is anything to run. Bringing one up takes most of the time of a short script, and needs to know no more than
 * the directory: an upload goes into an empty one on which a sandbox stands already, and a mount follows its directory
 * wherever that is renamed to. Each sandbox serves one run; nothing of anybody's has run in it before.
 */
export class Spares {
  readonly #options: Required<SparesOptions>;
  readonly #held = new Map<string, Spare>();
  readonly #dropping = new Set<Promise<void>>();
  #ready: Spare | null = null;
  #raising: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: SparesOptions) {
    this.#options = { keepMs: keepMsUsual, holdMs: holdMsUsual, ...options };
  }

  /** A run has begun, so another may soon: sees to it that a sandbox stands ready. */
  want(): void {
    if (this.#isClosed || this.#ready !== null || this.#raising !== null || this.#held.size >= heldMax) return;
    this.#raising = this.#raise()
      // Why none can be had will be said by the next run, which needs one.
      .catch(() => undefined)
      .finally(() => {
        this.#raising = null;
      });
  }

  /** The empty directory of one that stands ready; null when none does. What is put there should be run soon, or it runs in another. */
  take(): string | null {
    const spare = this.#ready;
    if (spare === null) return null;
    this.#ready = null;
    clearTimeout(spare.timer);
    if (!isStanding(spare)) {
      this.#discard(spare);
      return null;
    }
    spare.timer = setTimeout(() => this.#letGo(spare), this.#options.holdMs);
    this.#held.set(spare.file, spare);
    return spare.directory;
  }

  /** The sandbox that stands on a directory, which is the caller's from now on; null when there is none, or not with these limits. */
  on(directory: string, limits: Limits): Raised | null {
    if (this.#held.size === 0) return null;
    const spare = this.#held.get(fileOf(directory));
    if (spare === undefined) return null;
    clearTimeout(spare.timer);
    this.#held.delete(spare.file);
    if (isStanding(spare) && isDeepStrictEqual(limits, spare.raised.setting.limits)) return spare.raised;
    this.#drop(spare);
    return null;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#raising;
    if (this.#ready !== null) this.#discard(this.#ready);
    this.#ready = null;
    for (const spare of this.#held.values()) this.#letGo(spare);
    await Promise.all(this.#dropping);
  }

  async #raise(): Promise<void> {
    const { sandbox, command, limits, keepMs, holdMs } = this.#options;
    // Until its run has an account of its own, nobody else may look into it.
    const directory = mkdtempSync(join(sandbox.shownDir, "payload-"));
    const idleS = Math.ceil((keepMs + holdMs) / 1_000);
    const setting: Setting = { runId: randomUUID(), command, limits, directory, idleS };
    try {
      const raised = await raise(sandbox, setting);
      const spare = { raised, directory, file: fileOf(directory), timer: setTimeout(() => this.#expire(), keepMs) };
      if ((await raised.isUp) && !this.#isClosed) this.#ready = spare;
      else this.#discard(spare);
    } catch (fault) {
      remove(directory);
      throw fault;
    }
  }

  #expire(): void {
    if (this.#ready !== null) this.#discard(this.#ready);
    this.#ready = null;
  }

  /** Its directory is somebody's by now. */
  #letGo(spare: Spare): void {
    clearTimeout(spare.timer);
    this.#held.delete(spare.file);
    this.#drop(spare);
  }

  #discard(spare: Spare): void {
    clearTimeout(spare.timer);
    this.#drop(spare);
    remove(spare.directory);
  }

  #drop({ raised }: Spare): void {
    const dropping = drop(raised).finally(() => this.#dropping.delete(dropping));
    this.#dropping.add(dropping);
  }
}

/** That a process was killed is told a moment later than it is. */
function isStanding({ raised: { run } }: Spare): boolean {
  return !run.hasExited() && isAlive(run.pid);
}

/** Which directory it is, whatever its name. A number is not used again while a sandbox stands on it. */
function fileOf(directory: string): string {
  const { dev = 0n, ino = 0n } = statSync(directory, { bigint: true, throwIfNoEntry: false }) ?? {};
  return `${dev}:${ino}`;
}

function remove(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Somebody removed it, or put something there: the next start removes that.
  }
}

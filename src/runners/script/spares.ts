import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Limits } from "../limits.ts";
import { isAlive } from "../sandbox/processes.ts";
import { drop, type Raised, raise, readyMs } from "../sandbox/raise.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";

/** What a sandbox is raised for: the command and the limits that most runs have. */
export type SpareSetting = { command: string[]; limits: Limits };

/** Times in milliseconds. */
export type SparesOptions = SpareSetting & {
  sandbox: Sandbox;
  /** Where the empty directories are made. */
  parent: string;
  /** For how long one stands for the sake of an upload that may come. */
  keepMs?: number;
  /** For how long one waits for the upload that was given its directory. */
  holdMs?: number;
};

type Spare = { raised: Raised; directory: string; file: string | null; timer: Timer | null };

const keepMsUsual = 60_000;
/** What a sandbox shows of the machine beyond /usr is what was there when it was raised. */
const keepMsWithView = 10_000;
const holdMsUsual = 5_000;
/** Directories that were given away and have not become runs. */
const heldMax = 4;

/**
 * Sandboxes that stand before there is anything to run. Bringing one up takes longer than a short script itself (5.4 and 2.7 ms
 * were measured), and needs to know no more than the directory: an upload goes into an empty one on which a sandbox stands already, and a mount
 * follows its directory wherever that is renamed to. Each sandbox serves one run; nothing of anybody's has run in it before.
 */
export class Spares {
  readonly #options: Required<SparesOptions>;
  readonly #held = new Map<string, Spare>();
  readonly #dropping = new Set<Promise<void>>();
  /** The one that comes up or stands ready. */
  #next: Spare | null = null;
  #raising: Promise<void> | null = null;
  #isReady = false;
  #isClosed = false;

  constructor(options: SparesOptions) {
    const hasView = options.limits.network || options.sandbox.readOnly.length > 0;
    this.#options = { keepMs: hasView ? keepMsWithView : keepMsUsual, holdMs: holdMsUsual, ...options };
  }

  /** A run has begun, so another may soon: sees to it that a sandbox stands ready. */
  want(): void {
    if (this.#isClosed || this.#next !== null || this.#raising !== null || this.#held.size >= heldMax) return;
    this.#raising = this.#raise()
      // Why none can be had will be said by the next run, which needs one.
      .catch(() => undefined)
      .finally(() => {
        this.#raising = null;
      });
  }

  /** The empty directory of one that stands ready; null when none does. What is put there should be run soon, or it runs in another. */
  take(): string | null {
    const spare = this.#isReady ? this.#next : null;
    if (spare === null) return null;
    if (spare.file === null || !isStanding(spare)) {
      this.#discard(spare);
      return null;
    }
    this.#forget(spare);
    spare.timer = setTimeout(() => this.#drop(spare), this.#options.holdMs);
    this.#held.set(spare.file, spare);
    return spare.directory;
  }

  /** The sandbox that stands on a directory, which is the caller's from now on; null when there is none, or not for such a run. */
  on(directory: string, wanted: SpareSetting): Raised | null {
    if (this.#held.size === 0) return null;
    const spare = this.#held.get(fileOf(directory) ?? "");
    if (spare === undefined) return null;
    this.#forget(spare);
    if (isStanding(spare) && isFor(wanted, spare) && isServers(directory)) return spare.raised;
    this.#drop(spare);
    return null;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#discard(this.#next);
    for (const spare of this.#held.values()) this.#drop(spare);
    await this.#raising;
    await Promise.all(this.#dropping);
  }

  async #raise(): Promise<void> {
    const { sandbox, parent, command, limits, keepMs, holdMs } = this.#options;
    mkdirSync(parent, { recursive: true, mode: 0o755 });
    // Until its run has an account of its own, nobody else may look into it.
    const directory = mkdtempSync(join(parent, "payload-"));
    const idleS = Math.ceil((readyMs + keepMs + holdMs) / 1_000);
    const raised = await raise(sandbox, { runId: randomUUID(), command, limits, directory, idleS }).catch(
      (fault: unknown) => {
        removeEmpty(directory);
        throw fault;
      },
    );
    const spare: Spare = { raised, directory, file: fileOf(directory), timer: null };
    this.#next = spare;
    void raised.run.exited.then(() => this.#discardIfNext(spare));
    if (this.#isClosed || !(await raised.isUp)) return this.#discardIfNext(spare);
    if (this.#next !== spare) return;
    this.#isReady = true;
    spare.timer = setTimeout(() => this.#discardIfNext(spare), keepMs);
  }

  #discardIfNext(spare: Spare): void {
    if (this.#next === spare) this.#discard(spare);
  }

  /** Its directory is nobody's yet. */
  #discard(spare: Spare | null): void {
    if (spare === null) return;
    this.#drop(spare);
    removeEmpty(spare.directory);
  }

  #drop(spare: Spare): void {
    this.#forget(spare);
    const dropping = drop(spare.raised)
      // Whatever of it could not be found dies with this process.
      .catch(() => undefined)
      .finally(() => this.#dropping.delete(dropping));
    this.#dropping.add(dropping);
  }

  #forget(spare: Spare): void {
    clearTimeout(spare.timer ?? undefined);
    if (spare.file !== null) this.#held.delete(spare.file);
    if (this.#next !== spare) return;
    this.#next = null;
    this.#isReady = false;
  }
}

function isFor({ command, limits }: SpareSetting, { raised: { setting } }: Spare): boolean {
  return isDeepStrictEqual(command, setting.command) && isDeepStrictEqual(limits, setting.limits);
}

/** That a process was killed is told a moment later than it is. */
function isStanding({ raised: { run } }: Spare): boolean {
  return !run.hasExited() && isAlive(run.pid);
}

/** A run that came before, of this server or another, has its own account, and the directory with it. */
function isServers(directory: string): boolean {
  return statSync(directory, { throwIfNoEntry: false })?.uid === process.getuid?.();
}

/** Which directory it is, whatever its name. A number is not used again while a sandbox stands on it. */
function fileOf(directory: string): string | null {
  const stats = statSync(directory, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? null : `${stats.dev}:${stats.ino}`;
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Somebody removed it or put something there: what nothing is written to any more is swept.
  }
}

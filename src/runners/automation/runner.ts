import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ActiveRun, Runner, RunRequest, RunSink } from "../contract.ts";
import { ActiveTask, type GrantOrFailure } from "./active-task.ts";
import { BrowserProcess } from "./browser-process.ts";
import type { AutomationCatalog } from "./catalog.ts";
import { findChromium } from "./find-chromium.ts";
import { prepareOrder } from "./prepare-order.ts";
import type { OpenSealed } from "./sealed-secrets.ts";

export type AutomationRunnerOptions = {
  catalog: AutomationCatalog;
  /** Private directories of browser processes; downloads are moved from there, so best on the payloads' file system. */
  workDirectory: string;
  /** CHROMIUM_PATH; empty: found on the path of `environment`. */
  chromiumPath: string;
  /** What browser processes see of the environment: never Fairlead's own secrets. `PATH` is needed. */
  environment: Record<string, string>;
  /** Opens the secrets that were stored with a task. */
  openSealed: OpenSealed;
  /** How long a browser is kept without a task. */
  idleMs?: number;
  /** Between TERM and KILL. */
  killGraceMs?: number;
  /** How long a page may take to answer. */
  navigationTimeoutMs?: number;
};

/** `generation` is that of the catalog whose files the process has loaded; null while it has loaded none. */
type Kept = { process: BrowserProcess; chromium: string; generation: number | null };
type Warm = Kept & { timer: Timer };

const idleMsDefault = 60_000;
const leftoverAgeMs = 3_600_000;
const killGraceMsDefault = 3_000;
const navigationTimeoutMsDefault = 30_000;

/** Runs browser automations, each in a context of its own, in child processes whose browsers stay warm for a while. */
export class AutomationRunner implements Runner {
  readonly name = "automation";
  readonly #warm: Warm[] = [];
  readonly #leaving = new Set<Promise<unknown>>();
  #nonce = 0;

  constructor(readonly options: AutomationRunnerOptions) {
    removeLeftovers(options.workDirectory);
  }

  start(request: RunRequest, sink: RunSink): ActiveRun {
    return new ActiveTask(request, sink, () => this.#grant(request, sink));
  }

  async close(): Promise<void> {
    for (const warm of this.#warm.splice(0)) this.#leave(warm);
    await Promise.all(this.#leaving);
  }

  async #grant(request: RunRequest, sink: RunSink): Promise<GrantOrFailure> {
    const { catalog, chromiumPath, environment, openSealed } = this.options;
    const found = findChromium(chromiumPath, environment.PATH ?? "");
    if ("problem" in found) return { failure: { code: "automation_error", message: found.problem } };
    this.#nonce += 1;
    const prepared = prepareOrder(request, catalog, {
      nonce: this.#nonce,
      openSealed,
      navigationTimeoutMs: this.options.navigationTimeoutMs ?? navigationTimeoutMsDefault,
    });
    if ("failure" in prepared) return prepared;
    for (const warning of prepared.warnings) sink.log("warn", warning);
    const scratch = request.directory === null ? this.#scratch() : null;
    if (scratch !== null) sink.log("warn", "The job has no payload: the files of this run are not kept");
    const order = { ...prepared.order, directory: request.directory ?? scratch ?? "" };
    // A process never forgets a file that it has loaded, so a changed one needs a process of its own.
    const generation = order.work.kind === "script" ? catalog.generation : null;
    const taken = this.#take(found.path, generation);
    const release = async (isReusable: boolean) => {
      if (scratch !== null) await rm(scratch, { recursive: true, force: true });
      if (isReusable) this.#keep({ ...taken, generation: generation ?? taken.generation });
    };
    return { process: taken.process, order, release };
  }

  #scratch(): string {
    const { workDirectory } = this.options;
    mkdirSync(workDirectory, { recursive: true, mode: 0o700 });
    return mkdtempSync(join(workDirectory, "task-"));
  }

  /** A warm process that has loaded nothing that has changed since, or a new one. */
  #take(chromium: string, generation: number | null): Kept {
    for (let warm = this.#warm.pop(); warm !== undefined; warm = this.#warm.pop()) {
      const isFresh = generation === null || warm.generation === null || warm.generation === generation;
      if (warm.process.isUsable && isFresh && warm.chromium === chromium) {
        clearTimeout(warm.timer);
        return warm;
      }
      this.#leave(warm);
    }
    const { workDirectory, environment, killGraceMs = killGraceMsDefault } = this.options;
    return {
      process: new BrowserProcess({ chromium, workDirectory, environment, killGraceMs }),
      chromium,
      generation: null,
    };
  }

  #keep(kept: Kept): void {
    const warm: Warm = {
      ...kept,
      timer: setTimeout(() => {
        this.#warm.splice(this.#warm.indexOf(warm), 1);
        this.#leave(warm);
      }, this.options.idleMs ?? idleMsDefault),
    };
    if (kept.process.isUsable) this.#warm.push(warm);
    else this.#leave(warm);
  }

  #leave({ process, timer }: Warm): void {
    clearTimeout(timer);
    const leaving = process.stop().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }
}

/** What a server that was killed could not remove. Younger directories may belong to a server that is just leaving. */
function removeLeftovers(directory: string): void {
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory).filter((entry) => /^(arrivals|task)-/.test(entry))) {
    const path = join(directory, name);
    if (Date.now() - statSync(path).mtimeMs > leftoverAgeMs) rmSync(path, { recursive: true, force: true });
  }
}

import { mkdirSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ActiveRun, Runner, RunRequest, RunSink } from "../contract.ts";
import { ActiveTask, type GrantOrFailure } from "./active-task.ts";
import { BrowserProcess } from "./browser-process.ts";
import type { AutomationCatalog } from "./catalog.ts";
import { findChromium } from "./find-chromium.ts";
import { prepareOrder } from "./prepare-order.ts";

export type AutomationRunnerOptions = {
  catalog: AutomationCatalog;
  /** Private directories of browser processes; downloads are moved from there, so best on the payloads' file system. */
  workDirectory: string;
  /** CHROMIUM_PATH; empty: found on the path of `environment`. */
  chromiumPath: string;
  /** What browser processes see of the environment: never Fairlead's own secrets. `PATH` is needed. */
  environment: Record<string, string>;
  /** How long a browser is kept without a task. */
  idleMs?: number;
  /** Between TERM and KILL. */
  killGraceMs?: number;
  /** How long a page may take to answer. */
  navigationTimeoutMs?: number;
};

type Warm = { process: BrowserProcess; generation: number; chromium: string; timer: Timer };

const idleMsDefault = 60_000;
const killGraceMsDefault = 3_000;
const navigationTimeoutMsDefault = 30_000;

/** Runs browser automations, each in a context of its own, in child processes whose browsers stay warm for a while. */
export class AutomationRunner implements Runner {
  readonly name = "automation";
  readonly #warm: Warm[] = [];
  readonly #leaving = new Set<Promise<unknown>>();
  #nonce = 0;

  constructor(readonly options: AutomationRunnerOptions) {}

  start(request: RunRequest, sink: RunSink): ActiveRun {
    return new ActiveTask(request, sink, () => this.#grant(request, sink));
  }

  async close(): Promise<void> {
    for (const warm of this.#warm.splice(0)) this.#leave(warm);
    await Promise.all(this.#leaving);
  }

  async #grant(request: RunRequest, sink: RunSink): Promise<GrantOrFailure> {
    const { catalog, chromiumPath, environment, workDirectory } = this.options;
    const found = findChromium(chromiumPath, environment.PATH ?? "");
    if ("problem" in found) return { failure: { code: "automation_error", message: found.problem } };
    mkdirSync(workDirectory, { recursive: true, mode: 0o700 });
    const scratch = request.directory === null ? mkdtempSync(join(workDirectory, "task-")) : null;
    if (scratch !== null) sink.log("warn", "The job has no payload: the files of this run are not kept");
    this.#nonce += 1;
    const prepared = prepareOrder(request, catalog, {
      nonce: this.#nonce,
      directory: request.directory ?? scratch ?? "",
      navigationTimeoutMs: this.options.navigationTimeoutMs ?? navigationTimeoutMsDefault,
    });
    if ("failure" in prepared) return prepared;
    for (const warning of prepared.warnings) sink.log("warn", warning);
    const { generation } = catalog;
    const process = this.#take(found.path, generation);
    const release = async (isReusable: boolean) => {
      if (scratch !== null) await rm(scratch, { recursive: true, force: true });
      if (isReusable) this.#keep({ process, generation, chromium: found.path });
    };
    return { process, order: prepared.order, release };
  }

  /** A warm process that has loaded nothing that has changed since, or a new one. */
  #take(chromium: string, generation: number): BrowserProcess {
    for (let warm = this.#warm.pop(); warm !== undefined; warm = this.#warm.pop()) {
      if (warm.process.isUsable && warm.generation === generation && warm.chromium === chromium) {
        clearTimeout(warm.timer);
        return warm.process;
      }
      this.#leave(warm);
    }
    const { workDirectory, environment, killGraceMs = killGraceMsDefault } = this.options;
    return new BrowserProcess({ chromium, workDirectory, environment, killGraceMs });
  }

  #keep(kept: Omit<Warm, "timer">): void {
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

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Download } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";
import type { EndSignal } from "./end-signal.ts";
import { moveFile, type TaskFiles } from "./task-files.ts";

const watchEveryMs = 250;
const startTimeoutMs = 30_000;
const settleTimeoutMs = 10_000;
const finishTimeoutMs = 60_000;

type Arrival = { download: Download; isClaimed: boolean };

/** The downloads of one task: noticed wherever they start, bounded while they arrive, named when they are claimed. */
export class Downloads {
  readonly names: string[] = [];
  readonly #arrivals: Arrival[] = [];
  #waiting: (() => void)[] = [];
  #watch: Timer | null = null;

  constructor(
    readonly options: {
      arrivalsDirectory: string;
      bytesMax: number;
      files: TaskFiles;
      end: EndSignal;
      note(text: string): void;
    },
  ) {}

  /** Called for every download that a page starts. */
  arrived(download: Download): void {
    this.#arrivals.push({ download, isClaimed: false });
    this.#watch ??= setInterval(() => this.#checkSize(), watchEveryMs);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Runs an action that starts a download, waits for it to finish, and keeps it under `filename`. */
  async during(act: () => Promise<unknown>, filename: string | null): Promise<string> {
    const known = this.#arrivals.length;
    await act();
    const arrival = await this.options.end.guard(this.#next(known));
    return await this.#keep(arrival, filename);
  }

  /** Takes note of a file that was written below `downloads/` by other means. */
  add(name: string): void {
    this.names.push(name);
  }

  /** Waits a little for downloads that are still expected, then keeps what nobody claimed under its own name. */
  async finish(expected: number): Promise<void> {
    const deadline = Date.now() + settleTimeoutMs;
    while (this.names.length + this.#unclaimed().length < expected && Date.now() < deadline) {
      await this.options.end.sleep(watchEveryMs / 1_000);
    }
    for (const arrival of this.#unclaimed()) await this.#keepLate(arrival);
    if (this.names.length < expected) {
      this.options.note(`${this.names.length} of ${expected} expected downloads came`);
    }
  }

  close(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }

  #unclaimed(): Arrival[] {
    return this.#arrivals.filter((arrival) => !arrival.isClaimed);
  }

  async #next(known: number): Promise<Arrival> {
    const deadline = Date.now() + startTimeoutMs;
    for (;;) {
      const arrival = this.#arrivals.slice(known).find((candidate) => !candidate.isClaimed);
      if (arrival !== undefined) return arrival;
      const left = deadline - Date.now();
      if (left <= 0) throw new AutomationFault(`no download started within ${startTimeoutMs / 1_000} s`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await Promise.race([promise, Bun.sleep(left)]);
    }
  }

  async #keep(arrival: Arrival, filename: string | null): Promise<string> {
    arrival.isClaimed = true;
    const { files, end } = this.options;
    const suggested = arrival.download.suggestedFilename();
    const failure = await end.guard(arrival.download.failure());
    if (failure !== null) throw new AutomationFault(`the download of ${suggested} failed: ${failure}`);
    const { path, name } = files.place("downloads", filename ?? suggested, "download");
    await moveFile(await arrival.download.path(), path);
    this.names.push(name);
    return name;
  }

  /** A download that nobody asked for must not fail or hold up a task that is otherwise done. */
  async #keepLate(arrival: Arrival): Promise<void> {
    const tooLate = setTimeout(() => cancel(arrival.download), finishTimeoutMs);
    try {
      await this.#keep(arrival, null);
    } catch (fault) {
      if (this.options.end.reason !== null) throw fault;
      this.options.note(fault instanceof Error ? fault.message : String(fault));
    } finally {
      clearTimeout(tooLate);
    }
  }

  #checkSize(): void {
    const { arrivalsDirectory, bytesMax, end } = this.options;
    const bytes = readdirSync(arrivalsDirectory).reduce((sum, name) => sum + sizeOf(join(arrivalsDirectory, name)), 0);
    if (bytes <= bytesMax) return;
    end.end(`a download is larger than ${Math.round(bytesMax / 1_048_576)} MiB`, "file_limit");
    for (const { download } of this.#arrivals) cancel(download);
    this.close();
  }
}

function cancel(download: Download): void {
  // Refused only when the tab or browser is gone, which ends the download as well.
  download.cancel().catch(() => undefined);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";

/** One step as it stands in `trajectory/steps.json`. Times are ISO texts, durations milliseconds. */
export type Step = {
  index: number;
  /** The node's number in the document; 0 for the start page, null for steps of a TypeScript automation. */
  node: number | null;
  action: string;
  command: string | null;
  started_at: string;
  duration_ms: number;
  outcome: "ok" | "failed" | "skipped";
  error: string | null;
  url: string | null;
  title: string | null;
  /** A file in `trajectory/`, or null. */
  screenshot: string | null;
};

const stepsKeptMax = 10_000;
const screenshotsMax = 1_000;
const screenshotTimeoutMs = 5_000;
const writeEveryMs = 1_000;
const quality = 60;

/** The steps of a task with a screenshot each, kept in its directory while it runs. */
export class Trajectory {
  readonly #steps: Step[] = [];
  #screenshots = 0;
  #count = 0;
  #writtenAt = 0;

  constructor(readonly directory: string) {}

  get count(): number {
    return this.#count;
  }

  /** Adds a step and writes the list, at most once a second; `close` writes the rest. */
  add(step: Omit<Step, "index">): void {
    this.#count += 1;
    if (this.#steps.length < stepsKeptMax) this.#steps.push({ index: this.#count, ...step });
    if (Date.now() - this.#writtenAt >= writeEveryMs) this.close();
  }

  /** A picture of the page as it is now; null when it cannot be had in time or enough were taken. */
  async picture(page: Page): Promise<string | null> {
    if (this.#screenshots >= screenshotsMax || page.isClosed()) return null;
    this.#screenshots += 1;
    const name = `step_${String(this.#count + 1).padStart(4, "0")}.jpg`;
    try {
      await page.screenshot({ path: join(this.directory, name), type: "jpeg", quality, timeout: screenshotTimeoutMs });
      return name;
    } catch {
      // A page that is busy, crashed or just closing has no picture; the step itself says what became of it.
      return null;
    }
  }

  close(): void {
    this.#writtenAt = Date.now();
    const path = join(this.directory, "steps.json");
    writeFileSync(`${path}.tmp`, JSON.stringify(this.#steps, null, 1));
    renameSync(`${path}.tmp`, path);
  }
}

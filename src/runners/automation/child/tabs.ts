import type { BrowserContext, Page } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";

const tabsMax = 20;
const pollMs = 50;

/** What happens in a tab that a task has to know of. */
export type TabEvents = {
  opened(page: Page): void;
  note(text: string): void;
};

/** The tabs of one task, in the order they were opened, and the one that actions go to. */
export class Tabs {
  #current: Page | null = null;
  #newest: Page | null = null;

  constructor(
    readonly context: BrowserContext,
    readonly events: TabEvents,
  ) {
    for (const page of context.pages()) events.opened(page);
    context.on("page", (page) => this.#opened(page));
  }

  all(): Page[] {
    return this.context.pages();
  }

  /** The current tab; the last one that is open when it was closed, a blank one when all were. */
  async current(): Promise<Page> {
    if (this.#current !== null && !this.#current.isClosed()) return this.#current;
    this.#current = this.all().at(-1) ?? (await this.context.newPage());
    return this.#current;
  }

  /** Goes to the tab that was opened last, when one was opened since the last look. */
  followNewest(): boolean {
    const newest = this.#newest;
    this.#newest = null;
    if (newest === null || newest.isClosed()) return false;
    this.#current = newest;
    return true;
  }

  /** Waits until a tab has been opened, and goes to it. */
  async followNext(timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    while (!this.followNewest()) {
      if (Date.now() >= deadline) return false;
      await Bun.sleep(pollMs);
    }
    return true;
  }

  /** For tabs that the runner opens for itself. */
  forgetNewest(): void {
    this.#newest = null;
  }

  async open(): Promise<Page> {
    const page = await this.context.newPage();
    this.forgetNewest();
    this.#current = page;
    return page;
  }

  async switchTo(index: number): Promise<void> {
    const page = this.all().at(index);
    if (page === undefined) throw new AutomationFault(`there is no tab ${index}: ${this.all().length} are open`);
    this.#current = page;
    this.#newest = null;
    await page.bringToFront();
  }

  /** Closes the current tab; the last open one stays, as every action needs one. */
  async closeCurrent(): Promise<boolean> {
    if (this.all().length <= 1) return false;
    await (await this.current()).close();
    this.#current = this.all().at(-1) ?? null;
    return true;
  }

  /** Closes tabs from the end until `keep` holds for the last one. */
  async closeUntil(keep: (page: Page, index: number) => boolean): Promise<void> {
    const pages = this.all();
    const last = pages.findLastIndex(keep);
    if (last < 0) throw new AutomationFault("no open tab is the one to keep, so none was closed");
    for (const page of pages.slice(last + 1)) await page.close();
    await this.switchTo(last);
  }

  async closeAllButLast(): Promise<void> {
    for (const page of this.all().slice(0, -1)) await page.close();
    await this.switchTo(0);
  }

  #opened(page: Page): void {
    if (this.all().length > tabsMax) {
      this.events.note(`A tab was closed at once: more than ${tabsMax} are open`);
      // The tab may close itself first; either way it is gone.
      page.close().catch(() => undefined);
      return;
    }
    this.#newest = page;
    this.events.opened(page);
  }
}

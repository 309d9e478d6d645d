import { type Browser, type BrowserContext, chromium } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";
import type { ChildSettings } from "../messages.ts";
import { faultText } from "./fault-text.ts";

const viewport = { width: 1_280, height: 720 };
const launchTimeoutMs = 60_000;
const closeTimeoutMs = 5_000;
const wordsLinesMax = 3;
/** What Playwright does not set by itself: no GPU, nothing that talks to the outside or lives longer than the browser. */
const flags = [
  "--disable-gpu",
  "--disable-sync",
  "--disable-background-networking",
  "--disable-domain-reliability",
  "--no-pings",
];

/**
 * The one browser of a process: started for the first task, kept for the next ones, started anew after it died. Between
 * tasks it keeps one fresh context with a blank tab ready, as making one takes longer than most steps.
 */
export class WarmBrowser {
  #browser: Promise<Browser> | null = null;
  #spare: Promise<BrowserContext> | null = null;
  /** Called when a browser that was ready ends without being asked to. */
  onGone: () => void = () => undefined;

  constructor(readonly settings: ChildSettings) {}

  /** A context that no task has seen, with one blank tab. Throws `AutomationFault` when the browser does not start. */
  async takeContext(): Promise<BrowserContext> {
    const spare = this.#spare;
    this.#spare = null;
    return await (spare ?? this.#newContext());
  }

  /** Makes the context for the next task ahead of time. */
  prepareContext(): void {
    if (this.#browser === null) return;
    const spare = this.#newContext();
    this.#spare = spare;
    // When it cannot be made, the next task makes its own and reports what is wrong.
    spare.catch(() => {
      if (this.#spare === spare) this.#spare = null;
    });
  }

  async close(): Promise<void> {
    const starting = this.#browser;
    this.#browser = null;
    this.onGone = () => undefined;
    if (starting !== null) await Promise.race([closeQuietly(starting), Bun.sleep(closeTimeoutMs)]);
  }

  async #newContext(): Promise<BrowserContext> {
    this.#browser ??= this.#launch();
    const browser = await this.#browser;
    const context = await browser.newContext({ acceptDownloads: true, viewport });
    await context.newPage();
    return context;
  }

  async #launch(): Promise<Browser> {
    const { chromium: executablePath, chromiumSandbox, arrivalsDirectory } = this.settings;
    try {
      const browser = await chromium.launch({
        executablePath,
        chromiumSandbox,
        downloadsPath: arrivalsDirectory,
        args: flags,
        timeout: launchTimeoutMs,
        handleSIGHUP: false,
        handleSIGINT: false,
        handleSIGTERM: false,
      });
      browser.on("disconnected", () => {
        this.#browser = null;
        this.#spare = null;
        this.onGone();
      });
      return browser;
    } catch (fault) {
      this.#browser = null;
      throw new AutomationFault(`Chromium (${executablePath}) did not start: ${ownWords(fault)}`, { cause: fault });
    }
  }
}

/** What Chromium itself printed, when it did: Playwright's message starts with a page of flags. */
function ownWords(fault: unknown): string {
  const text = fault instanceof Error ? fault.message : String(fault);
  const printed = [...text.matchAll(/\[err\] ?(.+)/g)].map(([, line]) => line?.trim() ?? "");
  const telling = printed.filter((line) => /error|fatal|cannot|failed/i.test(line));
  return telling.length === 0
    ? faultText(fault)
    : [...new Set(telling)].slice(0, wordsLinesMax).join("; ").slice(0, 600);
}

async function closeQuietly(starting: Promise<Browser>): Promise<void> {
  try {
    await (await starting).close();
  } catch {
    // It never started, or is gone already: either way there is nothing left to close.
  }
}

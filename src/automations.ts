import type { BrowserContext, Page } from "playwright-core";

export type ParameterValue = string | number | boolean;
/** The parameters of an automation by name, with example values: `{ email: ["alice@example.com"] }`. */
export type AutomationParameters = { readonly [name: string]: readonly ParameterValue[] };

/** Writes one line to the job's log. */
export type AutomationLog = {
  (text: string): void;
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
};

/** What `run` gets. Every member may be destructured. */
export type AutomationContext<P extends AutomationParameters = AutomationParameters> = {
  /** The first tab of a browser context that belongs to this task alone. */
  readonly page: Page;
  readonly context: BrowserContext;
  /** The values of every declared parameter, as the caller gave them. */
  readonly input: { readonly [Name in keyof P]: readonly ParameterValue[] };
  readonly taskId: string;
  /** 1 for the first execution. */
  readonly attempt: number;
  /** The trace that this execution belongs to, for calls that it makes (W3C Trace Context); null when there is none. */
  readonly traceparent: string | null;
  /** Fires when the task is stopped or its browser is gone. */
  readonly signal: AbortSignal;
  /** Runs `act`, waits for the download it starts, and keeps the file. Resolves to its name below `downloads/`. */
  readonly download: (act: () => Promise<unknown>, filename?: string) => Promise<string>;
  /** Keeps a picture of the current page below `screenshots/`. Resolves to its name. */
  readonly screenshot: (name?: string, options?: { fullPage?: boolean }) => Promise<string>;
  /** Appends one object to the task's output data. */
  readonly output: (value: Record<string, unknown>) => void;
  /** Runs `act` as a step of the trajectory, with its time, outcome and a picture of the page. */
  readonly step: <T>(name: string, act: () => Promise<T>) => Promise<T>;
  /** The address of a page in the directory `pages/` beside the automations: `pageUrl("/form.html")`. */
  readonly pageUrl: (path: string) => Promise<string>;
  /** `fraction` in 0..1. */
  readonly progress: (fraction: number, text?: string) => void;
  readonly log: AutomationLog;
};

export type Automation<P extends AutomationParameters = AutomationParameters> = {
  readonly description?: string;
  readonly parameters: P;
  /** Whether a last picture of the page is taken; yes unless said otherwise. */
  readonly takeFinalScreenshot?: boolean;
  /** An object that is returned is appended to the output data; anything else is ignored. */
  readonly run: (context: AutomationContext<P>) => Promise<unknown>;
};

/**
 * Describes a browser automation: `export default defineAutomation({ parameters, run })` in a file of AUTOMATIONS_DIR,
 * whose name without `.ts` is the automation's name.
 */
export function defineAutomation<const P extends AutomationParameters>(automation: Automation<P>): Automation<P> {
  return automation;
}

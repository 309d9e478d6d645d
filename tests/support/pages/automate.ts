import { mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ActiveRun, Outcome, RunFacts, RunRequest } from "../../../src/runners/contract.ts";
import { AutomationCatalog } from "../../../src/runners/automation/catalog.ts";
import type { Step } from "../../../src/runners/automation/child/trajectory.ts";
import { findChromium } from "../../../src/runners/automation/find-chromium.ts";
import type { AutomationOutput } from "../../../src/runners/automation/messages.ts";
import { AutomationRunner, type AutomationRunnerOptions } from "../../../src/runners/automation/runner.ts";

export const searchPath = process.env.PATH ?? "";
const chromium = findChromium(process.env.CHROMIUM_PATH ?? "", searchPath);
export const hasChromium = "path" in chromium;

export type Ran = { outcome: Outcome; facts: RunFacts; logs: string[]; directory: string; fractions: number[] };
export type Asked = Partial<Omit<RunRequest, "directory">> & { document?: unknown };

/** A runner with a catalog, its directories, and a short way to run something with it. */
export class Automations implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "automations-"));
  readonly catalog: AutomationCatalog;
  readonly runner: AutomationRunner;
  #count = 0;

  constructor(options: { automations?: string } & Partial<AutomationRunnerOptions> = {}) {
    const { automations = join(this.directory, "automations"), ...rest } = options;
    this.catalog = new AutomationCatalog(automations);
    this.runner = new AutomationRunner({
      catalog: this.catalog,
      workDirectory: join(this.directory, "work"),
      chromiumPath: process.env.CHROMIUM_PATH ?? "",
      environment: { PATH: searchPath },
      openSealed: () => null,
      navigationTimeoutMs: 20_000,
      ...rest,
    });
  }

  /** The payload directory that the next run will get. */
  get nextDirectory(): string {
    return join(this.directory, `payload-${this.#count + 1}`);
  }

  start(asked: Asked): { run: ActiveRun; ran: Promise<Ran>; logs: string[]; directory: string } {
    const directory = this.nextDirectory;
    this.#count += 1;
    const { document, options = {}, ...rest } = asked;
    const logs: string[] = [];
    const fractions: number[] = [];
    const request: RunRequest = {
      jobId: `job-${this.#count}`,
      taskIndex: 0,
      runId: `run-${this.#count}`,
      attempt: 1,
      target: "",
      input: {},
      options: document === undefined ? options : { ...options, automation: document },
      limits: {},
      timeoutMs: 60_000,
      directory,
      traceparent: null,
      ...rest,
    };
    const run = this.runner.start(request, {
      log: (level, text) => void logs.push(`${level} ${text}`),
      output: (stream, text) => void logs.push(`${stream} ${text}`),
      progress: (fraction) => void fractions.push(fraction),
    });
    return { run, ran: run.done.then((end) => ({ ...end, logs, directory, fractions })), logs, directory };
  }

  run(asked: Asked): Promise<Ran> {
    return this.start(asked).ran;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** A document whose nodes do not pause. Inputs are declared as they are given. */
export function documentOf(url: string, nodes: object[], rest: Record<string, unknown> = {}): Record<string, unknown> {
  return { url, parameters: {}, nodes: nodes.map(hurried), ...rest };
}

/** The node, and those inside of it, without the pauses that documents have by default. */
export function hurried(node: object): object {
  const inner = Object.entries(node).map(([name, value]) =>
    Array.isArray(value) && name.endsWith("nodes") ? [name, value.map(hurried)] : [name, value],
  );
  const isAction = Object.keys(node).some((name) => name.endsWith("_action"));
  return { ...(isAction ? { before_sleep_time: 0, end_sleep_time: 0 } : {}), ...Object.fromEntries(inner) };
}

export function interact(name: string, fields: object = {}, around: object = {}): object {
  return { interaction_action: { [name]: fields, ...around } };
}

export function extract(name: string, command: string, around: object = {}): object {
  const locator = { command, output_variable_name: name, extraction_format: { [name]: "str" } };
  return { extraction_action: { locator, ...around } };
}

/** What a run left behind; throws with its outcome when it did not leave anything. */
export function outputOf(ran: Ran): AutomationOutput {
  if (!("output" in ran.outcome)) throw new Error(`No output: ${JSON.stringify(ran.outcome)}\n${ran.logs.join("\n")}`);
  return ran.outcome.output as AutomationOutput;
}

/** The output of a run that must have succeeded. */
export function succeeded(ran: Ran): AutomationOutput {
  if (ran.outcome.kind !== "succeeded") throw new Error(`${JSON.stringify(ran.outcome)}\n${ran.logs.join("\n")}`);
  return outputOf(ran);
}

/** Why a run failed; throws when it did not. */
export function failureOf(ran: Ran): { code: string; message: string } {
  if (ran.outcome.kind !== "failed") throw new Error(`Not failed: ${JSON.stringify(ran.outcome)}`);
  return ran.outcome.error;
}

export function stepsOf(ran: Ran): Step[] {
  return JSON.parse(readFileSync(join(ran.directory, "trajectory", "steps.json"), "utf8")) as Step[];
}

/** Waits for something that has no signal of its own; fails after 20 s with what it waited for. */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`Waited 20 s in vain for ${what}`);
    await Bun.sleep(25);
  }
}

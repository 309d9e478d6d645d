import type { Page } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";
import { faultText } from "./fault-text.ts";
import type { Session } from "./session.ts";
import type { Step } from "./trajectory.ts";

/**
 * What is being done, for logs and the trajectory. `command` may hold placeholders; it is shown without secrets.
 * A step that does not look at the page gets no picture unless it fails.
 */
export type StepName = { node: number | null; action: string; command: string | null; isBlind?: boolean };
/** `skipped` carries why; anything else means that it was done. */
export type StepResult = { skipped: string } | null;

const stepsMax = 100_000;
const commandCharsMax = 500;
const titleTimeoutMs = 1_000;

/**
 * Runs one step: announces it, waits for it or for the end of the task, then records its time, outcome, address and
 * screenshot. `after` runs while the screenshot is taken. A failed step throws an `AutomationFault` that names it.
 */
export async function runStep(
  session: Session,
  name: StepName,
  act: () => Promise<StepResult>,
  after: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  if (session.trajectory.count >= stepsMax) session.end.end(`the automation took more than ${stepsMax} steps`);
  const title = stepTitle(session, name);
  session.log.step(title);
  const startedAt = Date.now();
  let result: StepResult = null;
  let fault: unknown = null;
  try {
    result = await session.end.guard(act());
  } catch (thrown) {
    fault = thrown;
  }
  const durationMs = Date.now() - startedAt;
  const error = fault === null ? (result?.skipped ?? null) : session.scope.mask(faultText(fault));
  const outcome = fault !== null ? "failed" : result !== null ? "skipped" : "ok";
  const recorded = record(session, name, { startedAt, durationMs, outcome, error });
  await (fault === null ? Promise.all([recorded, after()]) : recorded);
  const level = outcome === "ok" ? "info" : "warn";
  session.log.write(level, `${title}: ${outcome === "ok" ? "ok" : `${outcome}, ${error}`} (${durationMs} ms)`);
  if (fault !== null) throw named(fault, `${title}: ${error}`);
}

/** `node 3, click_element get_by_role("button")`. */
export function stepTitle(session: Session, { node, action, command }: StepName): string {
  const shown = command === null ? "" : ` ${session.scope.shown(command).slice(0, commandCharsMax)}`;
  if (node === null) return `${action}${shown}`;
  return `${node === 0 ? "start page" : `node ${node}`}, ${action}${shown}`;
}

async function record(
  session: Session,
  name: StepName,
  end: { startedAt: number; durationMs: number; outcome: Step["outcome"]; error: string | null },
): Promise<void> {
  const page = await pageNow(session);
  const isPictured = name.isBlind !== true || end.outcome === "failed";
  const [screenshot, title] =
    page === null || !isPictured ? [null, null] : await Promise.all([session.trajectory.picture(page), titleOf(page)]);
  session.trajectory.add({
    node: name.node,
    action: name.action,
    command: name.command === null ? null : session.scope.shown(name.command).slice(0, commandCharsMax),
    started_at: new Date(end.startedAt).toISOString(),
    duration_ms: end.durationMs,
    outcome: end.outcome,
    error: end.error,
    url: page === null ? null : session.scope.mask(page.url()),
    title,
    screenshot,
  });
}

/** The tab that a step has left us in; null when the task has ended and there may be none. */
async function pageNow(session: Session): Promise<Page | null> {
  try {
    return session.end.reason === null ? await session.end.guard(session.tabs.current()) : null;
  } catch (fault) {
    if (session.end.reason === null) throw fault;
    return null;
  }
}

async function titleOf(page: Page): Promise<string | null> {
  try {
    return await Promise.race([page.title(), Bun.sleep(titleTimeoutMs).then(() => null)]);
  } catch {
    // A page that is just leaving has no title; the step is recorded without one.
    return null;
  }
}

function named(fault: unknown, message: string): AutomationFault {
  if (!(fault instanceof AutomationFault)) return new AutomationFault(message, { cause: fault });
  // The class is kept: a loop may carry on after a failed step, never after the end of the task.
  const Fault = fault.constructor as typeof AutomationFault;
  return new Fault(message, { ...fault.options, cause: fault });
}

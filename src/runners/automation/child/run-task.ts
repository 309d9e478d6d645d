import type { BrowserContext } from "playwright-core";
import type { Automation } from "../../../automations.ts";
import type { FailureCode } from "../../contract.ts";
import { AutomationFault } from "../automation-fault.ts";
import { inspectAutomation, loadAutomation } from "../load-automation.ts";
import type { AutomationOutput, TaskOrder } from "../messages.ts";
import { type EndSignal, TaskEnded } from "./end-signal.ts";
import { faultText } from "./fault-text.ts";
import { runDocument, takeFinalScreenshot } from "./run-document.ts";
import { runScript } from "./run-script.ts";
import { closeContext, closeSession, openSession, type Session } from "./session.ts";
import type { Say } from "./task-log.ts";
import type { WarmBrowser } from "./warm-browser.ts";

export type TaskEnd = { output: AutomationOutput; failure: { code: FailureCode; message: string } | null };
type Running = { browser: WarmBrowser; end: EndSignal; say: Say };

/** Runs one task in a context of its own. Never rejects: whatever goes wrong is the failure of the task. */
export async function runTask(order: TaskOrder, { browser, end, say }: Running): Promise<TaskEnd> {
  let context: BrowserContext | null = null;
  let session: Session | null = null;
  let failure: TaskEnd["failure"] = null;
  let finalScreenshot: string | null = null;
  try {
    browser.onGone = () => end.end("the browser ended unexpectedly");
    const { arrivalsDirectory } = browser.settings;
    context = await end.guard(browser.takeContext());
    session = openSession({ context, order, arrivalsDirectory, end, say });
    const work = await workOf(order);
    failure = await failureOf(work.run(session));
    if (work.takeFinalScreenshot && end.reason === null) finalScreenshot = await takeFinalScreenshot(session);
  } catch (thrown) {
    failure = explained(thrown, session);
  }
  try {
    if (session !== null) await closeSession(session);
    if (context !== null) await closeContext(context);
  } catch (thrown) {
    failure ??= explained(thrown, session);
  }
  return { output: outputOf(session, finalScreenshot), failure };
}

async function workOf({
  work,
}: TaskOrder): Promise<{ takeFinalScreenshot: boolean; run(session: Session): Promise<void> }> {
  if (work.kind === "document") {
    const { document } = work;
    return { takeFinalScreenshot: document.takeFinalScreenshot, run: (session) => runDocument(session, document) };
  }
  const loaded = await loadAutomation(work.file);
  const inspection = inspectAutomation(loaded);
  if ("problem" in inspection) throw new AutomationFault(inspection.problem, { code: "invalid" });
  const automation = loaded as Automation;
  return {
    takeFinalScreenshot: automation.takeFinalScreenshot ?? true,
    run: (session) => runScript(session, automation),
  };
}

async function failureOf(running: Promise<void>): Promise<TaskEnd["failure"]> {
  try {
    await running;
    return null;
  } catch (thrown) {
    if (thrown instanceof AutomationFault && !(thrown instanceof TaskEnded)) return codeAndText(thrown);
    throw thrown;
  }
}

function explained(thrown: unknown, session: Session | null): NonNullable<TaskEnd["failure"]> {
  const text = faultText(thrown);
  const message = session?.scope.mask(text) ?? text;
  return thrown instanceof AutomationFault
    ? { ...codeAndText(thrown), message }
    : { code: "automation_error", message };
}

function codeAndText(fault: AutomationFault): NonNullable<TaskEnd["failure"]> {
  return { code: fault.options.code ?? "automation_error", message: fault.message };
}

function outputOf(session: Session | null, finalScreenshot: string | null): AutomationOutput {
  return {
    output_data: session?.outputs.data ?? [],
    final_screenshot: finalScreenshot,
    downloads: session?.downloads.names ?? [],
    screenshots: session?.screenshots ?? [],
    steps: session?.trajectory.count ?? 0,
  };
}

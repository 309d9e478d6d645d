import type { Page } from "playwright-core";
import type { Automation, AutomationContext, AutomationLog } from "../../../automations.ts";
import { AutomationFault } from "../automation-fault.ts";
import { isObject } from "../field-reader.ts";
import { openableUrl } from "./pages.ts";
import type { Session } from "./session.ts";
import { runStep } from "./steps.ts";

/** Runs a TypeScript automation to its end. Throws `AutomationFault` with what it threw. */
export async function runScript(session: Session, automation: Automation): Promise<void> {
  const page = await session.end.guard(session.tabs.current());
  await runStep(session, { node: null, action: "run", command: null, isBlind: true }, async () => {
    const returned = await automation.run(contextOf(session, page));
    if (isObject(returned)) session.outputs.add(returned);
    return null;
  });
  await session.downloads.finish(0);
}

function contextOf(session: Session, page: Page): AutomationContext {
  const { order, context, downloads, outputs } = session;
  return {
    page,
    context,
    input: order.input,
    taskId: order.taskId,
    attempt: order.attempt,
    traceparent: order.traceparent,
    signal: session.end.signal,
    download: (act, filename) => downloads.during(act, filename ?? null),
    screenshot: (name = "screenshot.png", options = {}) => takeScreenshot(session, page, { name, ...options }),
    output: (value) => {
      if (!isObject(value)) throw new AutomationFault("output(…) takes an object");
      outputs.add(value);
    },
    step: (name, act) => runNamedStep(session, name, act),
    pageUrl: (path) => openableUrl(session, path),
    progress: (fraction, text = "") => session.log.progress(fraction, text),
    log: logOf(session),
  };
}

async function runNamedStep<T>(session: Session, name: string, act: () => Promise<T>): Promise<T> {
  let result: { value: T } | null = null;
  await runStep(session, { node: null, action: "step", command: name }, async () => {
    result = { value: await act() };
    return null;
  });
  // The step has either set it or thrown.
  return (result as unknown as { value: T }).value;
}

async function takeScreenshot(
  session: Session,
  page: Page,
  { name, fullPage = false }: { name: string; fullPage?: boolean },
): Promise<string> {
  const place = session.files.place("screenshots", /\.png$/i.test(name) ? name : `${name}.png`, "screenshot.png");
  await page.screenshot({ path: place.path, fullPage, type: "png" });
  session.screenshots.push(place.name);
  return place.name;
}

function logOf(session: Session): AutomationLog {
  const at = (level: "debug" | "info" | "warn" | "error") => (text: string) => session.log.write(level, String(text));
  return Object.assign(at("info"), { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") });
}

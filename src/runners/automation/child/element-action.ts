import type { Locator } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";
import type { ElementAction, Target } from "../document-model.ts";
import { inputText } from "./input-text.ts";
import { locate } from "./locate.ts";
import { selectOption } from "./select-option.ts";
import type { Session } from "./session.ts";
import type { StepResult } from "./steps.ts";
import { uploadFile } from "./upload.ts";

/**
 * Acts on one element: up to `max` tries of `perTryS` each, every one looking it up anew. When all fail the step fails,
 * or is skipped when the document calls the element optional (`skip_prompt`).
 */
export async function runElementAction(session: Session, action: ElementAction): Promise<StepResult> {
  if (action.name === "input_text" && action.text !== null && session.scope.isWithoutValue(action.text)) {
    return { skipped: `there is no value for ${action.text}` };
  }
  const find = finder(session, action.target);
  const isOptional = action.target.skipPrompt && !action.target.assertPresence;
  if (find === null) {
    if (isOptional) return { skipped: "there is no command, and no language model to find the element" };
    throw new AutomationFault(
      "the element is only described in words (prompt_instructions), and that needs a language model",
    );
  }
  const fault = await tryRepeatedly(session, action, find);
  if (fault === null) return null;
  if (isOptional) return { skipped: `the optional element was not there: ${fault.message.split("\n")[0]}` };
  throw fault;
}

function finder(session: Session, { command, xpath, skipCommand }: Target): (() => Promise<Locator>) | null {
  if (command !== null && !skipCommand) return () => locate(session, command);
  if (xpath === null) return null;
  return async () => (await session.tabs.current()).locator(`xpath=${session.scope.fill(xpath)}`);
}

/** The last error, or null when a try succeeded. */
async function tryRepeatedly(
  session: Session,
  action: ElementAction,
  find: () => Promise<Locator>,
): Promise<Error | null> {
  const { max, perTryS } = action.tries;
  let last: Error | null = null;
  for (let count = 1; count <= max; count += 1) {
    const startedAt = performance.now();
    try {
      // A tab that something else has covered draws nothing, and then no element in it counts as steady.
      if (count > 1) await (await session.tabs.current()).bringToFront();
      await tryOnce(session, action, await find());
      return null;
    } catch (fault) {
      // Another try cannot mend these: the document is wrong, or the file is not there.
      if (fault instanceof AutomationFault || session.end.reason !== null) throw fault;
      last = fault instanceof Error ? fault : new Error(String(fault));
    }
    const restS = perTryS - (performance.now() - startedAt) / 1_000;
    if (count < max) await session.end.sleep(restS);
  }
  return last;
}

async function tryOnce(session: Session, action: ElementAction, locator: Locator): Promise<void> {
  const timeout = action.tries.perTryS * 1_000;
  if (action.name === "upload_file") return await uploadFile(session, action, locator);
  const isForced = action.name === "click_element" && action.force;
  await locator.waitFor({ state: isForced ? "attached" : "visible", timeout });
  if (!isForced) await locator.scrollIntoViewIfNeeded({ timeout });
  switch (action.name) {
    case "click_element":
    case "select_option": {
      const act = () =>
        action.name === "click_element" ? click(session, action, locator) : selectOption(session, action, locator);
      if (action.expectDownload) await session.downloads.during(act, filled(session, action.downloadFilename));
      else await act();
      return;
    }
    case "input_text":
      return await inputText(session, action, locator);
    case "check":
      return await locator.check({ timeout });
    case "uncheck":
      return await locator.uncheck({ timeout });
    case "hover":
      return await locator.hover({ timeout });
  }
}

async function click(
  session: Session,
  action: Extract<ElementAction, { name: "click_element" }>,
  locator: Locator,
): Promise<void> {
  const { button, doubleClick, force } = action;
  const timeout = action.tries.perTryS * 1_000;
  if (!action.mouseClick) {
    await (doubleClick ? locator.dblclick({ button, force, timeout }) : locator.click({ button, force, timeout }));
    return;
  }
  const box = await locator.boundingBox({ timeout });
  if (box === null) throw new Error("the element has no place on the page");
  const page = await session.tabs.current();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.click(x, y, { button, clickCount: doubleClick ? 2 : 1 });
}

function filled(session: Session, text: string | null): string | null {
  return text === null ? null : session.scope.fill(text);
}

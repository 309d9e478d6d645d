import type { Locator } from "playwright-core";
import type { ElementAction } from "../document-model.ts";
import type { Session } from "./session.ts";

const sliderStepsMax = 1_000;
/** Typing is slower than filling by design; a try's time-out is meant for finding the element. */
const typingTimeoutMs = 60_000;

/** Puts text into a field in the way the document asks for. */
export async function inputText(
  session: Session,
  action: Extract<ElementAction, { name: "input_text" }>,
  locator: Locator,
): Promise<void> {
  const timeout = action.tries.perTryS * 1_000;
  if (action.clickFirst) await locator.click({ timeout });
  if (action.text !== null) {
    const text = session.scope.fill(action.text);
    if (action.isSlider) await slide(locator, text, timeout);
    else if (action.how === "fill") await locator.fill(text, { timeout });
    else if (action.how === "type") await locator.pressSequentially(text, { timeout: typingTimeoutMs });
    else await pressEach(session, locator, text);
  }
  if (action.pressEnter) await locator.press("Enter", { timeout });
}

async function pressEach(session: Session, locator: Locator, text: string): Promise<void> {
  await locator.focus();
  const page = await session.tabs.current();
  for (const char of text) await page.keyboard.press(char === "\n" ? "Enter" : char);
}

/** A range input takes its value; any other slider is moved with the arrow keys until it shows it. */
async function slide(locator: Locator, text: string, timeout: number): Promise<void> {
  if ((await locator.getAttribute("type", { timeout })) === "range") return await locator.fill(text, { timeout });
  const wanted = Number(text);
  let now = Number(await locator.getAttribute("aria-valuenow", { timeout }));
  for (let step = 0; now !== wanted && step < sliderStepsMax; step += 1) {
    await locator.press(now < wanted ? "ArrowRight" : "ArrowLeft", { timeout });
    const next = Number(await locator.getAttribute("aria-valuenow", { timeout }));
    const isPast = now < wanted !== next < wanted && next !== wanted;
    if (next === now || isPast) throw new Error(`the slider stops at ${next} and cannot show ${text}`);
    now = next;
  }
}

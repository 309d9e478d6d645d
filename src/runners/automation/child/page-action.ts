import type { PageAction } from "../document-model.ts";
import { keyStrokes } from "./keys.ts";
import { goTo } from "./navigation.ts";
import { savePdf } from "./save-pdf.ts";
import type { Session } from "./session.ts";
import type { StepResult } from "./steps.ts";

const toEnd = "(down) => scrollTo({ top: down ? document.documentElement.scrollHeight : 0, behavior: 'instant' })";
const byAmount = "(pixels) => scrollBy({ top: pixels, behavior: 'instant' })";

/** Acts on the current tab or on the tabs as a whole. */
export async function runPageAction(session: Session, action: PageAction): Promise<StepResult> {
  const { tabs, scope } = session;
  switch (action.name) {
    case "key_press": {
      const page = await tabs.current();
      for (const stroke of keyStrokes(action.keys.map((key) => scope.fill(key)))) await page.keyboard.press(stroke);
      return null;
    }
    case "scroll": {
      const page = await tabs.current();
      if (action.amount < 0) await page.evaluate(`(${toEnd})(${action.down})`);
      else await page.evaluate(`(${byAmount})(${action.down ? action.amount : -action.amount})`);
      return null;
    }
    case "go_to_url":
      await goTo(session, action.newTab ? await tabs.open() : await tabs.current(), scope.fill(action.url));
      return null;
    case "go_back":
      return await goBack(session);
    case "switch_tab":
      await tabs.switchTo(action.tabIndex);
      return null;
    case "close_current_tab":
      return (await tabs.closeCurrent()) ? null : { skipped: "it is the only tab" };
    case "close_all_but_last_tab":
      await tabs.closeAllButLast();
      return null;
    case "close_tabs_until": {
      const { matchingUrl, tabIndex } = action;
      const wanted = matchingUrl === null ? null : scope.fill(matchingUrl);
      await tabs.closeUntil((page, index) => (wanted === null ? index === tabIndex : page.url().includes(wanted)));
      return null;
    }
    case "download_url_as_pdf":
      await savePdf(session, {
        url: action.url === null ? null : scope.fill(action.url),
        filename: action.downloadFilename === null ? null : scope.fill(action.downloadFilename),
      });
      return null;
  }
}

async function goBack(session: Session): Promise<StepResult> {
  const page = await session.tabs.current();
  const before = page.url();
  const timeout = session.order.navigationTimeoutMs;
  const response = await page.goBack({ waitUntil: "domcontentloaded", timeout });
  // A blank page answers nothing either; only one that is still where it was had nowhere to go.
  return response === null && page.url() === before ? { skipped: "there is no page to go back to" } : null;
}

import type { Page } from "playwright-core";
import { openableUrl } from "./pages.ts";
import type { Session } from "./session.ts";

const loadTimeoutMs = 10_000;

/** Opens an address and waits for its document; images and frames that never come do not hold it up for ever. */
export async function goTo(session: Session, page: Page, url: string): Promise<void> {
  const address = await openableUrl(session, url);
  await page.goto(address, { waitUntil: "domcontentloaded", timeout: session.order.navigationTimeoutMs });
  try {
    await page.waitForLoadState("load", { timeout: loadTimeoutMs });
  } catch (fault) {
    session.log.write("debug", `${address} has not finished loading: ${fault instanceof Error ? fault.name : ""}`);
  }
}

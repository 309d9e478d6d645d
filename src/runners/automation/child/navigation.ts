import type { Page } from "playwright-core";
import { openableUrl } from "./pages.ts";
import type { Session } from "./session.ts";

const loadTimeoutMs = 10_000;

/** Opens an address and waits for its document; images and frames that never come do not hold it up for ever. */
export async function goTo(session: Session, page: Page, url: string): Promise<void> {
  const address = await openableUrl(session, url);
  try {
    await page.goto(address, { waitUntil: "domcontentloaded", timeout: session.order.navigationTimeoutMs });
  } catch (fault) {
    await stopLoading(session, page);
    throw fault;
  }
  try {
    await page.waitForLoadState("load", { timeout: loadTimeoutMs });
  } catch (fault) {
    session.log.write("debug", `${address} has not finished loading: ${fault instanceof Error ? fault.name : ""}`);
  }
}

/** A tab that is still waiting for an answer gives no picture and holds up everything after it. */
async function stopLoading(session: Session, page: Page): Promise<void> {
  try {
    const devTools = await session.context.newCDPSession(page);
    await devTools.send("Page.stopLoading");
    await devTools.detach();
  } catch (fault) {
    session.log.write(
      "debug",
      `The tab could not be stopped: ${fault instanceof Error ? fault.message : String(fault)}`,
    );
  }
}

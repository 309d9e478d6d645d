import { join } from "node:path";
import { AutomationFault } from "../automation-fault.ts";
import type { AutomationDocument } from "../document-model.ts";
import { TaskEnded } from "./end-signal.ts";
import { goTo } from "./navigation.ts";
import { runNodes } from "./run-nodes.ts";
import type { Session } from "./session.ts";
import { runStep } from "./steps.ts";

const screenshotTimeoutMs = 10_000;
/** The channels that any Chromium on the machine can stand in for. */
const channels = ["chromium", "chrome", "msedge", "browser-use", "cloakbrowser"];

/** Runs a document from its start page to its last node. Throws `AutomationFault` with the node's number. */
export async function runDocument(session: Session, document: AutomationDocument): Promise<void> {
  if (!channels.includes(document.browserChannel)) {
    throw new AutomationFault(
      `the document wants the browser "${document.browserChannel}", which is no browser that runs here: use chromium`,
    );
  }
  const fault = await outcomeOf(async () => {
    await runStep(session, { node: 0, action: "open", command: document.url }, async () => {
      await goTo(session, await session.tabs.current(), session.scope.fill(document.url));
      return null;
    });
    await runNodes(session, document.nodes, (done) => {
      session.log.progress(done / document.nodes.length, `${done} of ${document.nodes.length} nodes`);
    });
  });
  if (fault instanceof TaskEnded) throw fault;
  // They run after a failure too, as they often say what became of the page.
  const late = await outcomeOf(async () => {
    await session.downloads.finish(fault === null ? document.expectedDownloads : 0);
    await runNodes(session, document.postProcessingNodes, () => undefined);
  });
  if (fault !== null) throw fault;
  if (late !== null) throw late;
}

/** Takes the last picture of a task; null, with a line in the log, when the page gives none. */
export async function takeFinalScreenshot(session: Session): Promise<string | null> {
  const name = "final_screenshot.png";
  try {
    const page = await session.end.guard(session.tabs.current());
    const path = join(session.files.directory, name);
    await session.end.guard(page.screenshot({ path, fullPage: true, timeout: screenshotTimeoutMs }));
    return name;
  } catch (thrown) {
    session.log.write(
      "warn",
      `No final screenshot: ${thrown instanceof Error ? thrown.message.split("\n")[0] : thrown}`,
    );
    return null;
  }
}

async function outcomeOf(run: () => Promise<void>): Promise<unknown> {
  try {
    await run();
    return null;
  } catch (thrown) {
    return thrown;
  }
}

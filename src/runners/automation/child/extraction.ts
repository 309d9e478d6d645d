import { join } from "node:path";
import { AutomationFault } from "../automation-fault.ts";
import type { Extraction } from "../document-model.ts";
import { callApi } from "./api-call.ts";
import { locate } from "./locate.ts";
import { extractNetworkCalls } from "./network-extraction.ts";
import type { Session } from "./session.ts";
import type { StepResult } from "./steps.ts";

const textTimeoutMs = 5_000;

/** Takes something from the page, the network or an API into the task's output and variables. */
export async function runExtraction(session: Session, extraction: Extraction): Promise<StepResult> {
  const { outputs, scope } = session;
  const identifier = extraction.identifier === null ? null : scope.fill(extraction.identifier);
  switch (extraction.name) {
    case "locator": {
      const name = scope.fill(extraction.outputName);
      const value = await textOf(session, extraction);
      scope.set(name, [value]);
      outputs.add({ [name]: value }, identifier);
      return null;
    }
    case "network_call":
      return await extractNetworkCalls(session, extraction, identifier);
    case "api_call":
      await callApi(session, extraction, identifier);
      return null;
    case "screenshot": {
      const page = await session.tabs.current();
      const { path, name } = session.files.place(
        "screenshots",
        pngName(scope.fill(extraction.filename)),
        "screenshot.png",
      );
      await page.screenshot({ path, fullPage: extraction.fullPage, type: "png" });
      session.screenshots.push(name);
      outputs.add({ screenshot: join("screenshots", name) }, identifier);
      return null;
    }
    case "state": {
      const page = await session.tabs.current();
      outputs.add({ page_url: page.url(), page_title: await page.title() }, identifier);
      return null;
    }
  }
}

/** The visible text of the first match; null, where the document allows it, when there is none. */
async function textOf(session: Session, extraction: Extract<Extraction, { name: "locator" }>): Promise<string | null> {
  const locator = await locate(session, extraction.command);
  try {
    // What a reader sees is wanted, not what the document holds.
    // biome-ignore lint/performance/useDomNodeTextContent: the rendered text is meant
    return (await locator.first().innerText({ timeout: textTimeoutMs })).trim();
  } catch (fault) {
    if (extraction.allowNone && session.end.reason === null) return null;
    throw new AutomationFault(`no text was found within ${textTimeoutMs / 1_000} s, and allow_none is not set`, {
      cause: fault,
    });
  }
}

function pngName(name: string): string {
  return /\.png$/i.test(name) ? name : `${name}.png`;
}

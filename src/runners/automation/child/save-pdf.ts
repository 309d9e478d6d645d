import { writeFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";
import { goTo } from "./navigation.ts";
import { openableUrl } from "./pages.ts";
import type { Session } from "./session.ts";

/** Keeps the current page, or the one at `url`, as a PDF: the file itself when it is one, else the page printed. */
export async function savePdf(
  session: Session,
  wanted: { url: string | null; filename: string | null },
): Promise<void> {
  const current = await session.tabs.current();
  const url = wanted.url === null ? current.url() : await openableUrl(session, wanted.url);
  const bytes = (await fetchPdf(session, url)) ?? (await print(session, wanted.url === null ? current : null, url));
  if (bytes.length > session.order.fileBytesMax)
    throw new AutomationFault("the PDF is too large", { code: "file_limit" });
  const { path, name } = session.files.place("downloads", wanted.filename ?? "page.pdf", "page.pdf");
  await writeFile(path, bytes);
  session.downloads.add(name);
}

/** The file at `url` when it is a PDF, fetched with the cookies of the browser; null when it is something else. */
async function fetchPdf(session: Session, url: string): Promise<Buffer | null> {
  if (!/^https?:/.test(url) || session.servesPages) return null;
  const answer = await session.context.request.get(url, { timeout: session.order.navigationTimeoutMs });
  if (!answer.ok()) throw new AutomationFault(`${url} answered ${answer.status()}`);
  const body = await answer.body();
  return body.subarray(0, 5).toString("latin1") === "%PDF-" ? body : null;
}

async function print(session: Session, current: Page | null, url: string): Promise<Buffer> {
  if (current !== null) return await current.pdf({ printBackground: true });
  const page = await session.context.newPage();
  try {
    await goTo(session, page, url);
    return await page.pdf({ printBackground: true });
  } finally {
    await page.close();
    session.tabs.forgetNewest();
  }
}

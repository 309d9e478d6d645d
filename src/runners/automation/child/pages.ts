import { realpathSync } from "node:fs";
import { join, sep } from "node:path";
import type { BrowserContext } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";
import type { Session } from "./session.ts";

/** Where the pages that are shipped with the automations seem to be. No server listens there: the context answers itself. */
const pagesOrigin = "http://automations.localhost";

/**
 * The address that a task may open: `http:`, `https:`, `about:blank`, or a path, which names a shipped page.
 * Throws `AutomationFault` for everything else, above all `file:`.
 */
export async function openableUrl(session: Session, url: string): Promise<string> {
  const text = url.trim();
  if (text === "about:blank" || /^https?:\/\//i.test(text)) return text;
  if (/^[a-z][a-z0-9+.-]*:(?!\d)/i.test(text)) {
    throw new AutomationFault(`the address "${text.slice(0, 200)}" cannot be opened: only http and https can`);
  }
  if (text.startsWith("/")) return await shippedPage(session, text);
  // A host without a scheme, as people write it.
  if (/^[\w-]+(\.[\w-]+)*(:\d+)?(\/|$)/.test(text)) return `http://${text}`;
  throw new AutomationFault(`"${text.slice(0, 200)}" is not an address: start it with http:// or https://`);
}

async function shippedPage(session: Session, path: string): Promise<string> {
  const directory = session.order.pagesDirectory;
  if (directory === null)
    throw new AutomationFault(`there are no pages beside the automations, so ${path} cannot be opened`);
  // Only now, as a context that answers requests itself asks about every one of them.
  if (!session.servesPages) await servePages(session.context, directory);
  session.servesPages = true;
  return pagesOrigin + path;
}

async function servePages(context: BrowserContext, directory: string): Promise<void> {
  await context.route(`${pagesOrigin}/**`, async (route) => {
    const path = fileBelow(directory, new URL(route.request().url()).pathname);
    await (path === null ? route.fulfill({ status: 404, body: "Not found" }) : route.fulfill({ path }));
  });
}

function fileBelow(directory: string, pathname: string): string | null {
  try {
    const root = realpathSync(directory);
    const path = realpathSync(join(root, decodeURIComponent(pathname)));
    return path.startsWith(root + sep) && /\.(html|css|js|json|svg|png|jpg|pdf|txt|csv)$/.test(path) ? path : null;
  } catch {
    // No such file, or a path that cannot be decoded: both are "not found" to the page.
    return null;
  }
}

import { defineFunction } from "fairlead";

const bytesMax = 1_000_000;
const redirectsMax = 5;
const timeoutMs = 10_000;

export default defineFunction({
  description: "Fetches a web page and returns its title; reads at most 1 MB",
  params: { url: { type: "string", required: true, pattern: "^https?://", max: 2_000 } },
  config: { timeout: 15_000 },
  async handler({ url }, { log, signal }) {
    const response = await fetchPage(url, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
    log(`${response.url} answered ${response.status}`);
    return { url: response.url, status: response.status, title: titleOf(await readStart(response)) };
  },
});

/** Follows redirects one by one, so that none leads from the web to a file or another scheme. */
async function fetchPage(url: string, signal: AbortSignal): Promise<Response> {
  let next = new URL(url);
  for (let redirects = 0; redirects <= redirectsMax; redirects += 1) {
    if (next.protocol !== "http:" && next.protocol !== "https:") throw new Error(`Not a web address: ${next.href}`);
    const response = await fetch(next, { redirect: "manual", signal, headers: { accept: "text/html" } });
    const location = response.headers.get("location");
    if (location === null || response.status < 300 || response.status > 399) return response;
    await response.body?.cancel();
    next = new URL(location, next);
  }
  throw new Error(`More than ${redirectsMax} redirects`);
}

async function readStart(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length >= bytesMax || /<\/title>/i.test(text)) break;
  }
  return text;
}

function titleOf(html: string): string | null {
  const title = /<title[^>]*>([^<]*)<\/title>/i.exec(html)?.[1];
  return title === undefined ? null : title.replaceAll(/\s+/g, " ").trim();
}

import { AutomationFault } from "../automation-fault.ts";

export type Answer = { status: number; headers: Record<string, string>; body: Buffer };
type Asking = RequestInit & { timeoutMs: number; bytesMax: number; redirects: boolean };

/** Asks an http or https address, within a time and a size. Throws `AutomationFault` for other schemes and larger answers. */
export async function fetchBounded(url: string, asking: Asking): Promise<Answer> {
  const { timeoutMs, bytesMax, redirects, ...init } = asking;
  if (!URL.canParse(url) || !["http:", "https:"].includes(new URL(url).protocol)) {
    throw new AutomationFault(`"${url.slice(0, 200)}" is not an http or https address`);
  }
  const response = await fetch(url, {
    ...init,
    redirect: redirects ? "follow" : "manual",
    signal: AbortSignal.timeout(timeoutMs),
  });
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers.entries()),
    body: await readBounded(response, url, bytesMax),
  };
}

async function readBounded(response: Response, url: string, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax)
      throw new AutomationFault(`the answer of ${url.slice(0, 200)} is larger than ${bytesMax} bytes`, {
        code: "file_limit",
      });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

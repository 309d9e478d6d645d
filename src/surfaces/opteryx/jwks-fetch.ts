import { readCapped } from "../../webhooks/read-capped.ts";

export type JwksFetch = (url: string, init: BunFetchRequestInit) => Promise<Response>;
export type JwksLoad = { kind: "document"; document: unknown } | { kind: "failed" };

const timeoutMs = 5_000;
const documentBytesMax = 65_536;

/** Throws `Error` unless the URL is https, or http on this machine, where nobody can sit in between. */
export function requireSafeJwksUrl(text: string): void {
  const url = URL.parse(text);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url))) return;
  throw new Error("JWT_JWKS_URL must be an https: URL (http: only on 127.0.0.1, localhost or ::1)");
}

/** One try to get the document: 5 s, 64 KiB, status 200, no redirects. Why it failed is of no use to a caller and is not told. */
export async function fetchJwks(text: string, fetchUrl: JwksFetch): Promise<JwksLoad> {
  const isLocal = URL.parse(text)?.protocol === "http:";
  try {
    const response = await fetchUrl(text, {
      headers: { accept: "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
      // Plain http is trusted because it stays on this machine; a proxy would take it elsewhere.
      ...(isLocal ? { proxy: false } : {}),
    });
    const body = await readCapped(response, documentBytesMax);
    if (response.status !== 200 || !body.whole) return { kind: "failed" };
    return { kind: "document", document: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body.bytes)) };
  } catch {
    // Unreachable, too slow, broken off or no JSON: all the same to whoever needs a key now.
    return { kind: "failed" };
  }
}

function isLoopback(url: URL): boolean {
  return url.hostname === "localhost" || url.hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(url.hostname);
}

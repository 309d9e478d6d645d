import type { CryptoKey } from "jose";
import { type JwksKeys, parseJwks } from "./jwks-keys.ts";
import { fetchJwks, type JwksFetch, requireSafeJwksUrl } from "./jwks-fetch.ts";

export type FoundKey =
  | { kind: "key"; key: CryptoKey }
  | { kind: "unknown" }
  /** The keys could not be asked for; the same token may be good later. */
  | { kind: "unavailable"; detail: string };

/** Where the keys of one issuer come from. */
export type KeySource = { find(kid: string, algorithm: string): Promise<FoundKey> };

const minuteMs = 60_000;
/** Keys are trusted this long without asking again. */
const freshMs = 10 * minuteMs;
/** While the issuer cannot be asked, old keys are trusted this long. */
const staleMs = 24 * 60 * minuteMs;
/** With keys at hand the issuer is asked at most this often, whatever tokens arrive; without any, sooner. */
const cooldownMs = 30_000;
const coldCooldownMs = 5_000;

/**
 * The keys at a JWKS URL: kept 10 minutes, asked for again on an unknown `kid` at most every 30 s, one request at a time, old keys kept up to 24 h
 * while that fails. Throws `Error` when the URL is neither https nor http on loopback.
 */
export function createJwks(options: { url: string; fetch?: JwksFetch; now?: () => number }): KeySource {
  requireSafeJwksUrl(options.url);
  const now = options.now ?? Date.now;
  let keys: JwksKeys | null = null;
  let loadedAtMs = Number.NEGATIVE_INFINITY;
  let askedAtMs = Number.NEGATIVE_INFINITY;
  let askFailed = false;
  let asking: Promise<void> | null = null;

  const ask = async () => {
    askedAtMs = now();
    const loaded = await fetchJwks(options.url, options.fetch ?? fetch);
    const parsed = loaded.kind === "document" ? await parseJwks(loaded.document) : null;
    askFailed = parsed === null || parsed.size === 0;
    if (parsed === null || askFailed) return;
    keys = parsed;
    loadedAtMs = now();
  };
  const isUsable = () => keys !== null && now() - loadedAtMs < staleMs;
  const refresh = async () => {
    if (asking === null && now() - askedAtMs < (isUsable() ? cooldownMs : coldCooldownMs)) return;
    asking ??= ask().finally(() => {
      asking = null;
    });
    await asking;
  };

  return {
    find: async (kid, algorithm) => {
      if (keys === null || now() - loadedAtMs >= freshMs) await refresh();
      if (isUsable() && keys?.find(kid, algorithm) === undefined) await refresh();
      if (!isUsable()) return { kind: "unavailable", detail: "The issuer's keys cannot be fetched" };
      const key = keys?.find(kid, algorithm);
      if (key !== undefined) return { kind: "key", key };
      return askFailed ? { kind: "unavailable", detail: "The issuer's keys cannot be refreshed" } : { kind: "unknown" };
    },
  };
}

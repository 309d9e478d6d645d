import { createHash, timingSafeEqual } from "node:crypto";

/** Knows keys by their SHA-256 alone. */
export type Keyring = {
  readonly isEmpty: boolean;
  /**
   * The label (first 8 hex digits of the key's SHA-256) of the key in a header's value, raw or after `Bearer`; null
   * for a wrong one.
   */
  labelOf(value: string | null): string | null;
};

const valueCharsMax = 4_096;
const acceptedMax = 256;

export function createKeyring(keys: readonly string[]): Keyring {
  const known = keys.filter((key) => key !== "").map((key) => ({ digest: sha256(key), label: labelOfKey(key) }));
  // Only values that were right are remembered, so a guess always takes the constant-time way.
  const accepted = new Map<string, string>();
  const check = (value: string) => {
    if (value.length > valueCharsMax) return null;
    const label = match(known, value.replace(/^bearer +/i, ""));
    if (label !== null && accepted.size < acceptedMax) accepted.set(value, label);
    return label;
  };
  return {
    isEmpty: known.length === 0,
    labelOf: (value) => (value === null ? null : (accepted.get(value) ?? check(value))),
  };
}

function labelOfKey(key: string): string {
  return sha256(key).toString("hex").slice(0, 8);
}

/** Compares with every key, found or not, so that the time says nothing. */
function match(known: { digest: Buffer; label: string }[], given: string): string | null {
  const digest = sha256(given);
  return known.reduce<string | null>((found, key) => (timingSafeEqual(key.digest, digest) ? key.label : found), null);
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

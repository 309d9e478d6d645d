import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import type { HeaderMap } from "./headers.ts";

/** 32 secret bytes, from `loadSealKey` or `deriveSealKey`. */
export type SealKey = Uint8Array;

const algorithm = "aes-256-gcm";
const nonceBytes = 12;
const tagBytes = 16;

/** A secret as a text that is safe to store: AES-256-GCM, led by the name of its key. Only `openText` reads it. */
export function sealText(text: string, key: SealKey): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, key, nonce);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return `${keyName(key)}.${Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString("base64url")}`;
}

/**
 * What was sealed; `keys` holds the one in use and those rotated out. Null when none of them opens it: it was sealed on a node
 * with another key, or altered.
 */
export function openText(sealed: string, keys: readonly SealKey[]): string | null {
  const [name, text = ""] = sealed.split(".");
  const key = keys.find((candidate) => keyName(candidate) === name);
  if (key === undefined) return null;
  const bytes = Buffer.from(text, "base64url");
  try {
    const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    const plain = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
    return plain.toString("utf8");
  } catch {
    // Not what this key sealed. No more can be known, and whoever needs it says that it cannot be opened.
    return null;
  }
}

/** Header values, sealed. Only `openHeaders` reads them. */
export function sealHeaders(headers: HeaderMap, key: SealKey): string {
  return sealText(JSON.stringify(headers), key);
}

/** The headers behind a sealed text; null when no key opens it. */
export function openHeaders(sealed: string, keys: readonly SealKey[]): HeaderMap | null {
  const text = openText(sealed, keys);
  return text === null ? null : JSON.parse(text);
}

function keyName(key: SealKey): string {
  return createHash("sha256").update("webhook header key\0").update(key).digest("hex").slice(0, 16);
}

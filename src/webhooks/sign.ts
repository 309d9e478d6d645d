import { createHmac } from "node:crypto";

/** The key behind one `whsec_…` text. */
export type WebhookSecret = Uint8Array;

const prefix = "whsec_";
const keyBytesMin = 24;
const keyBytesMax = 64;
/** One in use and a few being rotated out; every one costs each delivery a signature. */
const secretsMax = 5;

/**
 * The keys of `WEBHOOK_SECRET`, in the order given. Throws `Error` that names the entry by its number, never by its text.
 * Source: Standard Webhooks 1.0, "Signature scheme" (`whsec_` + base64 of 24 to 64 bytes).
 */
export function parseSecrets(texts: readonly string[]): WebhookSecret[] {
  if (texts.length > secretsMax) {
    throw new Error(`WEBHOOK_SECRET holds ${texts.length} secrets: at most ${secretsMax} may sign at the same time`);
  }
  return texts.map((text, index) => {
    const key = text.startsWith(prefix) ? decodeBase64(text.slice(prefix.length)) : null;
    if (key !== null && key.length >= keyBytesMin && key.length <= keyBytesMax) return key;
    throw new Error(
      `WEBHOOK_SECRET entry ${index + 1} must be ${prefix} and the base64 of ${keyBytesMin} to ${keyBytesMax} bytes; make one with: echo "${prefix}$(openssl rand -base64 32)"`,
    );
  });
}

/**
 * The headers that sign one attempt, in the form of Standard Webhooks 1.0: a signature per secret over
 * `id.timestamp.body`, separated by spaces. Without secrets the id and the time are sent alone. `id` stays the same over
 * all attempts of a delivery, `timestampS` (Unix seconds) is that of this attempt.
 */
export function sign(message: {
  id: string;
  timestampS: number;
  body: string;
  secrets: readonly WebhookSecret[];
}): Record<string, string> {
  // A dot would let one id and body pass for another pair; anything odder does not belong in a header.
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(message.id)) throw new Error("a webhook id must be made of A-Z a-z 0-9 _ -");
  const timestamp = String(Math.floor(message.timestampS));
  const headers: Record<string, string> = { "webhook-id": message.id, "webhook-timestamp": timestamp };
  if (message.secrets.length === 0) return headers;
  const signed = `${message.id}.${timestamp}.${message.body}`;
  return { ...headers, "webhook-signature": message.secrets.map((key) => `v1,${hmac(key, signed)}`).join(" ") };
}

function hmac(key: WebhookSecret, text: string): string {
  return createHmac("sha256", key).update(text, "utf8").digest("base64");
}

/** Null unless the text is canonical base64; the padding may be left out. */
function decodeBase64(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, "base64");
  const canonical = bytes.toString("base64");
  return text === canonical || text === canonical.replace(/=+$/, "") ? new Uint8Array(bytes) : null;
}

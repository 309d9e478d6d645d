import { createHmac, timingSafeEqual } from "node:crypto";
import { UsageError } from "./usage-error.ts";

/** Whether a delivery is what it says it is, and if not why. */
export type Verdict = { isValid: true } | { isValid: false; reason: string };

const prefix = "whsec_";
const keyBytesMin = 24;
const toleranceS = 300;

/** The keys behind `whsec_…` texts. Throws `UsageError`, which shows none of them. */
export function parseWebhookSecrets(texts: readonly string[]): Buffer[] {
  return texts.map((text, at) => {
    const key = Buffer.from(text.startsWith(prefix) ? text.slice(prefix.length) : "", "base64");
    if (key.length >= keyBytesMin) return key;
    throw new UsageError(
      `key ${at + 1} of the webhook secrets is not whsec_ and base64 of at least ${keyBytesMin} bytes`,
    );
  });
}

/** Checks the signature of a delivery (Standard Webhooks 1.0): any of its `v1` signatures by any of the keys will do. */
export function verifyWebhook(headers: Headers, body: string, keys: readonly Buffer[], nowS: number): Verdict {
  const [id, timestamp, given] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) =>
    headers.get(name),
  );
  if (!id || !timestamp || !given) return { isValid: false, reason: "it has no signature" };
  if (!/^\d{1,12}$/.test(timestamp)) return { isValid: false, reason: "its webhook-timestamp is no time" };
  if (Math.abs(nowS - Number(timestamp)) > toleranceS) {
    return { isValid: false, reason: "it was signed more than five minutes from now" };
  }
  const signed = `${id}.${timestamp}.${body}`;
  const expected = keys.map((key) => createHmac("sha256", key).update(signed).digest());
  const signatures = given
    .split(" ")
    .flatMap((text) => (text.startsWith("v1,") ? [Buffer.from(text.slice(3), "base64")] : []));
  const isValid = signatures.some((signature) => expected.some((one) => isSame(signature, one)));
  return isValid ? { isValid } : { isValid, reason: "its signature is not by any of the keys" };
}

function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

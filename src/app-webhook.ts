import type { Rooms } from "./app-rooms.ts";
import { checkHeaders } from "./webhooks/headers.ts";
import { sealHeaders } from "./webhooks/seal.ts";
import { checkTarget } from "./webhooks/target.ts";

/** A webhook that may be called; its headers encrypted, or undefined when it has none. Throws `EngineError("invalid")` with pointers below `pointer`. */
export function sealWebhook(
  rooms: Rooms,
  webhook: { url: string; headers?: unknown },
  pointer: string,
): string | undefined {
  checkTarget(webhook.url, { allow: rooms.webhookAllow, pointer: `${pointer}/url` });
  if (webhook.headers == null) return undefined;
  return sealHeaders(checkHeaders(webhook.headers, `${pointer}/headers`), rooms.keys.seals[0]);
}

import { exchangeOf } from "./exchange.ts";

type Answered = {
  responseValue: unknown;
  set: { status?: number | string | undefined; headers: Record<string, unknown>; cookie?: unknown };
  request: Request;
};

/**
 * Turns what a handler returned as plain data into its response, as the router would, and counts its bytes on the way; the length of
 * a response cannot be asked later. Everything else is left to the router.
 */
export function answerJson({ responseValue, set, request }: Answered): Response | undefined {
  if (!isPlain(responseValue) || set.cookie !== undefined || typeof set.status === "string") return undefined;
  const text = JSON.stringify(responseValue);
  const exchange = exchangeOf(request);
  exchange.bytes = Buffer.byteLength(text);
  exchange.isStamped = true;
  const headers = { "content-type": "application/json", "x-request-id": exchange.id };
  // Nearly always there is nothing to add, and every request pays for a look.
  for (const _name in set.headers)
    return new Response(text, statusAnd({ ...headers, ...texts(set.headers) }, set.status));
  return new Response(text, set.status === 200 ? { headers } : statusAnd(headers, set.status));
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return value.constructor === Object || Array.isArray(value);
}

function statusAnd(headers: Record<string, string>, status = 200): ResponseInit {
  return { status, headers };
}

function texts(headers: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

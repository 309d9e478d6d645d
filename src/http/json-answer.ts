import { exchangeOf } from "./exchange.ts";

type Answered = {
  responseValue: unknown;
  set: { status?: number | string | undefined; headers: Record<string, unknown>; cookie?: unknown };
  request: Request;
};

const jsonHeaders = { "content-type": "application/json" };
const jsonInit = { headers: jsonHeaders };

/**
 * Turns what a handler returned as plain data into its response, as the router would, and counts its bytes on the
 * way; the length of a response cannot be asked later. Everything else is left to the router.
 */
export function answerJson({ responseValue, set, request }: Answered): Response | undefined {
  if (!isPlain(responseValue) || set.cookie !== undefined || typeof set.status === "string") return undefined;
  const text = JSON.stringify(responseValue);
  exchangeOf(request).bytes = Buffer.byteLength(text);
  const response = new Response(text, initOf(set));
  // The response has all of it: the router would make another one to add it once more.
  set.status = 200;
  set.headers = {};
  return response;
}

function initOf(set: Answered["set"]): ResponseInit {
  // Nearly always there is nothing to add, and every request pays for a look.
  for (const _name in set.headers) return { ...statusOf(set), headers: texts(set.headers) };
  return set.status === 200 ? jsonInit : { ...statusOf(set), headers: jsonHeaders };
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return value.constructor === Object || Array.isArray(value);
}

function statusOf(set: Answered["set"]): { status: number } {
  return { status: Number(set.status ?? 200) };
}

function texts(headers: Record<string, unknown>): Record<string, string> {
  const given = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]);
  return { ...jsonHeaders, ...Object.fromEntries(given) };
}

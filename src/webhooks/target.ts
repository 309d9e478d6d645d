import { EngineError } from "../errors.ts";
import { type Address, isPublic, parseAddress } from "./address.ts";
import type { Networks } from "./networks.ts";
import { isWebPort } from "./ports.ts";
import type { Resolve } from "./resolve.ts";

const urlBytesMax = 2_048;
/** Names of real receivers have a handful; a name with more is no receiver. */
const addressesMax = 64;
const allowHint = "list its network in WEBHOOK_ALLOW to let webhooks reach it";

export type Target = { kind: "allowed"; url: URL } | { kind: "refused"; reason: string };
export type Addresses =
  { kind: "allowed"; addresses: string[] } | { kind: "refused"; reason: string } | { kind: "failed"; reason: string };

/**
 * What can be known of a webhook URL without asking the network, for the moment of submitting. Returns the parsed URL or throws
 * `EngineError("invalid")` with `pointer`. That the address behind a name is fit is only known when connecting: `findAddresses`.
 */
export function checkTarget(text: string, options: { allow: Networks; pointer: string }): URL {
  const target = readTarget(text, options.allow);
  if (target.kind === "allowed") return target.url;
  throw new EngineError("invalid", `The webhook URL ${target.reason}`, {
    problems: [{ pointer: options.pointer, detail: target.reason }],
  });
}

/** The same as a value. The reason continues "The webhook URL …". */
export function readTarget(text: string, allow: Networks): Target {
  const problem = textProblem(text);
  if (problem !== null) return { kind: "refused", reason: problem };
  const url = URL.parse(text);
  if (url === null) return { kind: "refused", reason: "is not a URL" };
  const reason = urlProblem(url, allow);
  return reason === null ? { kind: "allowed", url } : { kind: "refused", reason };
}

/**
 * The addresses that may be connected to for a URL that passed `readTarget`, IPv4 first since it is what works wherever a network is.
 * One unfit address among them refuses all: a name that has both is either a mistake or an attempt to rebind.
 * Rejects only with what `resolve` rejects with. Reasons do not show addresses: callers must not read internal names through them.
 */
export async function findAddresses(url: URL, options: { allow: Networks; resolve: Resolve }): Promise<Addresses> {
  const host = bareHost(url);
  const literal = parseAddress(host);
  const texts = literal === null ? await options.resolve(host) : [literal.toString()];
  if (texts.length === 0) return { kind: "failed", reason: `the name ${host} has no address` };
  if (texts.length > addressesMax) {
    return { kind: "refused", reason: `the name ${host} has more than ${addressesMax} addresses` };
  }
  const addresses = texts.map(parseAddress).filter((address) => address !== null);
  if (addresses.length < texts.length) return { kind: "refused", reason: `the name ${host} has an unreadable address` };
  for (const address of addresses) {
    const problem = addressProblem(address, portOf(url), options.allow);
    if (problem !== null) return { kind: "refused", reason: `the name ${host} leads to ${problem}` };
  }
  const ipv4First = [...addresses].sort((a, b) => a.kind().localeCompare(b.kind()));
  return { kind: "allowed", addresses: ipv4First.map((address) => address.toString()) };
}

/** The host of a URL without the brackets around IPv6. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function textProblem(text: string): string | null {
  if (Buffer.byteLength(text) > urlBytesMax) return `is longer than ${urlBytesMax} bytes`;
  // URL parsers differ in what they make of these; what we check must be what every reader sees.
  if (/[\s\\\p{Cc}]/u.test(text)) return "has white space, control characters or backslashes";
  const authority = /^https?:\/\/([^/?#]+)/i.exec(text)?.[1];
  if (authority === undefined) return "must start with http:// or https:// and a host";
  return authority.includes("@") ? "must not hold a user or password; put them in a header" : null;
}

function urlProblem(url: URL, allow: Networks): string | null {
  const host = bareHost(url);
  const literal = parseAddress(host);
  if (literal !== null) {
    const problem = addressProblem(literal, portOf(url), allow);
    return problem === null ? null : `leads to ${problem}`;
  }
  if (host.length > 253 || host.includes("%")) return "has a host that is not a name";
  if (/(^|\.)localhost\.?$/.test(host) && !allowsLoopback(allow)) return `leads to this machine: ${allowHint}`;
  return null;
}

function addressProblem(address: Address, port: number, allow: Networks): string | null {
  if (allow.has(address)) return null;
  if (!isPublic(address)) return `an address that is not public: ${allowHint}`;
  return isWebPort(port) ? null : `port ${port}, which webhooks do not use: take 80, 443 or one above 1023`;
}

function allowsLoopback(allow: Networks): boolean {
  return ["127.0.0.1", "::1"].some((text) => {
    const address = parseAddress(text);
    return address !== null && allow.has(address);
  });
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

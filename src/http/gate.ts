import type { Config } from "../config.ts";
import { EngineError } from "../errors.ts";
import { createAddressReader } from "./caller-address.ts";
import type { JobTokens } from "./job-tokens.ts";
import { createKeyring, type Keyring } from "./keyring.ts";
import { createNetworks } from "./networks.ts";
import { createSiteCheck } from "./own-site.ts";

/**
 * Who a route is for. `key`: callers with a key of `AUTH_KEY`; without any key configured (loopback only) everybody.
 * `lb`: the same, or the load balancer's key. `trusted`: callers in `TRUSTED_NETWORKS`, or with a key. `job`: a key,
 * or a token for the job in `:id`. `open`: everybody.
 */
export type AuthMode = "key" | "lb" | "trusted" | "job" | "open";

export type Gate = {
  /**
   * Lets a request in and says whose it is: `key:<label>`, `lb` or `ip:<address>`. Throws `EngineError` unauthorized
   * or forbidden.
   */
  admit(mode: Exclude<AuthMode, "job">, request: Request): string;
  /** The same for one job; `job:<id>` for the holder of its token, who also may give it as `?token=`. */
  admitToJob(request: Request, jobId: string): Promise<string>;
  /** The caller's address, as proxies that are trusted report it; empty when unknown. */
  addressOf(request: Request): string;
  /** `key:<label>` when the request carries a right key, whatever the route asks for. */
  keyOf(request: Request): string | null;
  /** What `x-lb-auth` holds. `wrong` also when no such key is configured. */
  lbKeyOf(request: Request): "none" | "right" | "wrong";
};

type Settings = Pick<Config, "authKeys" | "lbAuthKey" | "trustedNetworks" | "trustedProxies" | "host" | "publicUrl">;

type Parts = {
  keys: Keyring;
  lbKeys: Keyring;
  tokens: JobTokens | null;
  isTrusted: (address: string) => boolean;
  addressOf: (request: Request) => string;
  foreignSite: (request: Request) => string | null;
};

/** Throws `Error` when keys are needed and none is there: callers off this machine may reach the listener. */
export function createGate(settings: Settings, options: { isLoopback: boolean; tokens: JobTokens | null }): Gate {
  const parts = partsOf(settings, options);
  if (parts.keys.isEmpty && !options.isLoopback) throw new Error(`a listener on ${settings.host} needs AUTH_KEY`);
  return {
    admit: (mode, request) => admit(parts, mode, request),
    admitToJob: async (request, jobId) => {
      const token = tokenIn(request);
      if (token !== null && (await parts.tokens?.verify(token, jobId))) return `job:${jobId}`;
      return admit(parts, "key", request);
    },
    addressOf: parts.addressOf,
    keyOf: (request) => keyOf(parts, request),
    lbKeyOf: (request) => lbKeyOf(parts, request),
  };
}

function partsOf(settings: Settings, options: { isLoopback: boolean; tokens: JobTokens | null }): Parts {
  return {
    keys: createKeyring(settings.authKeys),
    lbKeys: createKeyring([settings.lbAuthKey]),
    tokens: options.tokens,
    isTrusted: createNetworks(settings.trustedNetworks),
    addressOf: createAddressReader(settings.trustedProxies),
    foreignSite: createSiteCheck({ ...options, host: settings.host, publicUrl: settings.publicUrl }),
  };
}

function admit(parts: Parts, mode: Exclude<AuthMode, "job">, request: Request): string {
  if (mode === "open") return `ip:${parts.addressOf(request)}`;
  const key = keyOf(parts, request);
  if (key !== null) return key;
  if (mode === "lb" && isBalancer(parts, request)) return "lb";
  const isLetIn = mode === "trusted" ? parts.isTrusted(parts.addressOf(request)) : parts.keys.isEmpty;
  if (!isLetIn) throw new EngineError("unauthorized", refusedText(parts, mode, request));
  const fault = parts.foreignSite(request);
  if (fault !== null) throw new EngineError("forbidden", fault);
  return `ip:${parts.addressOf(request)}`;
}

function keyOf({ keys }: Parts, { headers }: Request): string | null {
  const label = keys.labelOf(headers.get("authorization")) ?? keys.labelOf(headers.get("x-api-key"));
  return label === null ? null : `key:${label}`;
}

function isBalancer(parts: Parts, request: Request): boolean {
  return lbKeyOf(parts, request) === "right" || parts.lbKeys.labelOf(request.headers.get("authorization")) !== null;
}

function lbKeyOf({ lbKeys }: Parts, { headers }: Request): "none" | "right" | "wrong" {
  const given = headers.get("x-lb-auth");
  if (given === null) return "none";
  return lbKeys.labelOf(given) === null ? "wrong" : "right";
}

function refusedText({ addressOf }: Parts, mode: AuthMode, request: Request): string {
  const gaveOne = request.headers.has("authorization") || request.headers.has("x-api-key");
  if (mode !== "trusted")
    return gaveOne ? "The key is not valid" : "A key is required: Authorization: Bearer <key>, or x-api-key: <key>";
  const address = addressOf(request) || "The caller";
  return `${address} is not in TRUSTED_NETWORKS and gave ${gaveOne ? "a key that is not valid" : "no key"}`;
}

function tokenIn(request: Request): string | null {
  const given = /^bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (given !== undefined) return given;
  const query = request.url.indexOf("?");
  return query === -1 ? null : new URLSearchParams(request.url.slice(query)).get("token");
}

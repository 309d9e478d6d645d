import { exchangeOf } from "./exchange.ts";
import { createNetworks, normalAddress } from "./networks.ts";

const hopsMax = 20;

/**
 * Reads who called: the remote address of the connection, or, when that is a trusted proxy, the nearest hop in
 * `X-Forwarded-For` that is none. Empty when the address is not known.
 */
export function createAddressReader(trustedProxies: readonly string[]): (request: Request) => string {
  const isProxy = createNetworks(trustedProxies);
  const trustsAny = trustedProxies.length > 0;
  // Requests come over few connections at a time.
  let newest = { peer: "", address: "" };
  return (request) => {
    const peer = exchangeOf(request).peer;
    if (peer !== newest.peer) newest = { peer, address: normalAddress(peer) ?? peer };
    const { address } = newest;
    if (!trustsAny || !isProxy(address)) return address;
    return nearestStranger(request.headers.get("x-forwarded-for") ?? "", isProxy) ?? address;
  };
}

/** From the right, because everything left of the first untrusted hop is the caller's own word. */
function nearestStranger(forwardedFor: string, isProxy: (address: string) => boolean): string | null {
  const hops = forwardedFor.split(",").slice(-hopsMax).reverse();
  let last: string | null = null;
  for (const hop of hops) {
    const address = normalAddress(withoutPort(hop.trim()));
    if (address === null) return last;
    last = address;
    if (!isProxy(address)) return address;
  }
  return last;
}

function withoutPort(hop: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1];
  return bracketed ?? hop.replace(/^(\d+(?:\.\d+){3}):\d+$/, "$1");
}

import ipaddr from "ipaddr.js";

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

const rememberedMax = 10_000;

/**
 * Whether an address lies in one of the networks (`10.0.0.0/8`, `::1`, `*`). An IPv4 address inside IPv6 counts as
 * the IPv4 one; a text that is no address lies in none. Throws `Error` that names an entry that is no network.
 */
export function createNetworks(entries: readonly string[]): (address: string) => boolean {
  const everything = entries.includes("*");
  const ranges = entries.filter((entry) => entry !== "*").map(parseRange);
  const remembered = new Map<string, boolean>();
  return (address) => {
    const known = remembered.get(address);
    if (known !== undefined) return known;
    const parsed = parseAddress(address);
    const isInside = parsed !== null && (everything || ranges.some((range) => contains(range, parsed)));
    if (remembered.size >= rememberedMax) remembered.clear();
    remembered.set(address, isInside);
    return isInside;
  };
}

/** The usual text of an address, without zone and with IPv4 taken out of IPv6; null for a text that is none. */
export function normalAddress(text: string): string | null {
  return parseAddress(text)?.toString() ?? null;
}

function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  const [bare = ""] = text.split("%");
  if (ipaddr.IPv4.isValidFourPartDecimal(bare)) return ipaddr.IPv4.parse(bare);
  return ipaddr.IPv6.isValid(bare) ? ipaddr.process(bare) : null;
}

function parseRange(entry: string): Range {
  try {
    if (entry.includes("/")) return ipaddr.parseCIDR(entry);
    const address = ipaddr.process(entry);
    return [address, address.kind() === "ipv4" ? 32 : 128];
  } catch (cause) {
    throw new Error(`"${entry}" is not a network such as 10.0.0.0/8`, { cause });
  }
}

function contains([network, bits]: Range, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return network.kind() === address.kind() && address.match(network, bits);
}

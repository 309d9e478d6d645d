import ipaddr from "ipaddr.js";

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * IPv4 networks that are not the public Internet: what IANA's special-purpose registry (RFC 6890 and its updates) calls not globally
 * reachable, and the one public address that Azure machines reach their host's metadata at.
 */
const closedV4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
].map((network) => ipaddr.IPv4.parseCIDR(network));

/**
 * All global unicast IPv6 lies in here. What lies outside (loopback, link-local, unique local, multicast, mapped, compatible,
 * NAT64 in 64:ff9b::/96 and 64:ff9b:1::/48, 100::/64, 5f00::/16) is never public.
 */
const openV6 = ipaddr.IPv6.parseCIDR("2000::/3");
/** Inside it: protocol assignments with Teredo, documentation twice, 6to4. */
const closedV6 = ["2001::/23", "2001:db8::/32", "3fff::/20", "2002::/16"].map((network) =>
  ipaddr.IPv6.parseCIDR(network),
);

/** An address from its usual text, IPv6 that carries IPv4 (`::ffff:…`) turned into the IPv4; null for any other text. */
export function parseAddress(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) return null;
  return ipaddr.process(text);
}

/** Whether the address belongs to the public Internet. */
export function isPublic(address: Address): boolean {
  if (address instanceof ipaddr.IPv4) return !closedV4.some((network) => address.match(network));
  return address.match(openV6) && !closedV6.some((network) => address.match(network));
}

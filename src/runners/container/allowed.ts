import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Network = readonly [Address, number];

// ::ffff:0:0/96 holds the IPv4 addresses.
const mappedBits = 96;

/**
 * Whether a client at `address` may use the container. Without `allowedIps` everybody may. An IPv4 address written as IPv6
 * (`::ffff:10.0.0.1`) counts as IPv4. What is no IP address (a unix socket, an empty text) is allowed only when there is no list.
 */
export function isAllowed(container: { allowedIps: string[] }, address: string): boolean {
  if (container.allowedIps.length === 0) return true;
  const client = parseAddress(address);
  if (client === null) return false;
  return container.allowedIps.some((text) => {
    const network = parseNetwork(text);
    return network !== null && contains(network, client);
  });
}

/** A single address or a CIDR network as address and prefix length; null when the text is neither. */
export function parseNetwork(text: string): Network | null {
  const [base = "", prefix, ...rest] = text.split("/");
  const address = parseStrictly(base);
  if (address === null || rest.length > 0) return null;
  const bitsMax = address.kind() === "ipv4" ? 32 : 128;
  if (prefix !== undefined && (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bitsMax)) return null;
  const bits = prefix === undefined ? bitsMax : Number(prefix);
  return address.kind() === "ipv6" && bits >= mappedBits ? [unmapped(address), mapped(address, bits)] : [address, bits];
}

function contains(network: Network, client: Address): boolean {
  const [base, bits] = network;
  return base.kind() === client.kind() && client.match(base, bits);
}

function parseAddress(text: string): Address | null {
  const address = parseStrictly(text.replace(/%.*$/, ""));
  return address === null ? null : unmapped(address);
}

/** ipaddr.js also reads 10.1 and 0x0a000001, which nobody means. */
function parseStrictly(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  return ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : null;
}

function mapped(address: Address, bits: number): number {
  return unmapped(address).kind() === "ipv4" ? bits - mappedBits : bits;
}

function unmapped(address: Address): Address {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

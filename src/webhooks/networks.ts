import ipaddr from "ipaddr.js";
import { type Address, parseAddress } from "./address.ts";

/** Networks that webhooks may reach besides the public Internet. */
export type Networks = { has(address: Address): boolean };

/**
 * The networks of `WEBHOOK_ALLOW`: `10.0.0.0/8`, `fd00::/8`, single addresses, or `*` for everything. Throws `Error` that
 * names the entry.
 */
export function parseNetworks(entries: readonly string[]): Networks {
  if (entries.includes("*")) return { has: () => true };
  const ranges = entries.map(parseNetwork);
  return { has: (address) => ranges.some((range) => range.has(address)) };
}

function parseNetwork(entry: string): Networks {
  const [base = "", length, ...rest] = entry.split("/");
  const network = parseAddress(base);
  const bitsMax = network instanceof ipaddr.IPv4 ? 32 : 128;
  const bits = length === undefined ? bitsMax : Number(length);
  if (network === null || rest.length > 0 || length === "" || !Number.isInteger(bits) || bits < 0 || bits > bitsMax) {
    throw new Error(`WEBHOOK_ALLOW holds "${entry}", which is not a network such as 10.0.0.0/8`);
  }
  return { has: (address) => address.kind() === network.kind() && address.match(network, bits) };
}

import { dns } from "bun";

/** Every IPv4 and IPv6 address of a host name, as texts. Rejects when there is none or the name server does not answer. */
export type Resolve = (host: string) => Promise<string[]>;

/**
 * Asks as the system is set up (hosts file, resolv.conf). c-ares rather than getaddrinfo: it waits without holding one of the few
 * threads that file access needs too, so names whose servers never answer cannot stall the service.
 */
export const resolveHost: Resolve = async (host) => {
  const records = await dns.lookup(host, { backend: "c-ares" });
  return records.map((record) => record.address);
};

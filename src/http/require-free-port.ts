import { listenFault } from "./listen-fault.ts";

/**
 * Throws the `ListenError` of a port that cannot be had. A server that is started twice by mistake has to end before it
 * takes the name, and with it the work, of the one that runs.
 */
export function requireFreePort(host: string, port: number, setting: string): void {
  if (port === 0) return;
  try {
    Bun.listen({ hostname: host, port, socket: { data: () => undefined } }).stop(true);
  } catch (fault) {
    throw listenFault(fault, host, port, setting);
  }
}

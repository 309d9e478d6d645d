const hostShape = /^(?:[A-Za-z0-9_](?:[\w.-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;
const urlShape = /^http:\/\/[^/?#@\\\s,]{1,262}\//;
const knownHostsMax = 1_000;

/**
 * Tells requests whose URL means the same to everybody from those made to confuse: Bun builds `request.url` from the
 * `Host` line, joins two such lines into one, and gives a bare path when the host is missing or odd; the router looks
 * for the first slash of whatever it is given (security.md, facts 13 and 16).
 */
export function createShapeCheck(): (request: Request) => boolean {
  // Hosts that passed, so that the usual request costs two comparisons.
  const knownHosts = new Set<string>();
  return (request) => {
    const host = request.headers.get("host");
    if (host === null) return false;
    const url = request.url;
    if (knownHosts.has(host) && isOf(url, host)) return true;
    if (!hostShape.test(host) || !urlShape.test(url)) return false;
    if (knownHosts.size >= knownHostsMax) knownHosts.clear();
    knownHosts.add(host);
    return true;
  };
}

function isOf(url: string, host: string): boolean {
  return url.startsWith("http://") && url.startsWith(host, 7) && url.charCodeAt(7 + host.length) === 47;
}

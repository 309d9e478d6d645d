const loopbackName = /^(?:localhost|(?:[\w-]+\.)+localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i;

/**
 * Requests that are let in for their address and not for a key could be made by any web page that a person on this
 * machine opens. Says what is wrong with one that such a page may have made (a foreign `Origin`, or, on a loopback
 * listener, a foreign name in `Host`, as after DNS rebinding); null when nothing is.
 */
export function createSiteCheck(options: {
  isLoopback: boolean;
  host: string;
  publicUrl: string;
}): (request: Request) => string | null {
  const ownUrl = options.publicUrl === "" ? null : new URL(options.publicUrl);
  const isOwnName = (name: string) =>
    loopbackName.test(name) || name === options.host || name.toLowerCase() === ownUrl?.hostname;
  return ({ headers }) => {
    const host = headers.get("host") ?? "";
    const origin = headers.get("origin");
    if (origin !== null && origin !== ownUrl?.origin && !isSameSite(origin, host)) {
      return `pages of ${origin.slice(0, 200)} may not call this service without a key`;
    }
    if (options.isLoopback && !isOwnName(host.replace(/:\d+$/, ""))) {
      return `"${host.slice(0, 200)}" is not a name of this service: call it as 127.0.0.1 or localhost, set PUBLIC_URL, or use a key`;
    }
    return null;
  };
}

function isSameSite(origin: string, host: string): boolean {
  return origin === `http://${host}` || origin === `https://${host}`;
}

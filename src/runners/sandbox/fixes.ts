const install =
  "install bubblewrap 0.8 or newer (Debian, Ubuntu: apt-get install bubblewrap · Fedora: dnf install bubblewrap · Alpine: apk add bubblewrap)";
const allowNamespaces =
  "allow unprivileged user namespaces (sysctl -w user.max_user_namespaces=15000; on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0; in Docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined)";
const orNone = "or set SANDBOX=none to run scripts without isolation, with limits only";

/** What to do about a machine without bubblewrap. */
export const missingFix = `${install}, ${orNone}`;

const signs: [sign: RegExp, fix: string][] = [
  [/unknown option|unrecognized option/i, install],
  [/namespace|uid map|operation not permitted|permission denied/i, allowNamespaces],
  [/nsenter|unshare|mount/i, "put DATA_DIR where other accounts may enter, or run the server as an ordinary user"],
];

/** What to do about a bubblewrap that does not work here, from what it said. */
export function fixFor(reason: string): string {
  const known = signs.find(([sign]) => sign.test(reason));
  return known === undefined ? `${install}, ${orNone}` : `${known[1]}, ${orNone}`;
}

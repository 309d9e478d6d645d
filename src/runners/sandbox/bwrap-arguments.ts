import { lstatSync } from "node:fs";
import { resolve } from "node:path";
import { fixedLimits } from "./driver.ts";

/** Where the payload's directory is inside. */
export const insideDirectory = "/work";
const searchPath = "/usr/local/bin:/usr/bin:/bin";

/** Account inside; outside it is the one the sandbox was started as. */
export const insideAccount = { uid: 1000, gid: 1000, name: "job" } as const;

/** Parts of /etc that programs need to find libraries, certificates, fonts and R; never the whole of it. */
export const etcShown = [
  "alternatives",
  "ld.so.cache",
  "ssl/certs",
  "pki/tls/certs",
  "pki/ca-trust/extracted",
  "localtime",
  "fonts",
  "mime.types",
  "R",
] as const;
const etcForNetwork = ["resolv.conf", "hosts", "nsswitch.conf", "gai.conf"];
const bytesPerMb = 1_048_576;

/** /usr, and the directories beside it as the distribution has them: links into /usr, or directories of their own. */
const systemMounts = ["--ro-bind", "/usr", "/usr", ...["bin", "sbin", "lib", "lib32", "lib64"].flatMap(besideUsr)];

export type BwrapView = {
  bwrap: string;
  /** Source of `/work`, as the account of the run can reach it. */
  directory: string;
  environment: Record<string, string>;
  network: boolean;
  readOnly: string[];
  temporaryMb: number;
  /** Descriptor of the seccomp program. */
  seccomp: number;
  etc: EtcView;
};

/** A prepared directory, where nothing further is to be mounted below /etc; else the descriptors of the two-line files. */
export type EtcView = { directory: string } | { passwd: number; group: number };

/** Whether a run sees nothing below /etc that is not the same for all. */
export function hasUsualEtc(network: boolean, readOnly: string[]): boolean {
  return !network && !readOnly.some((path) => resolve(path).startsWith("/etc/"));
}

/** The command line of bubblewrap up to `--`: what a command sees of the machine, and nothing else. */
export function bwrapArguments(view: BwrapView): string[] {
  return [
    view.bwrap,
    ...["--unshare-all", "--unshare-user", "--disable-userns", ...(view.network ? ["--share-net"] : [])],
    ...["--uid", String(insideAccount.uid), "--gid", String(insideAccount.gid), "--hostname", insideAccount.name],
    ...["--die-with-parent", "--new-session", "--as-pid-1"],
    ...systemMounts,
    ...etcArguments(view),
    ...view.readOnly.flatMap(showIfThere),
    ...["--proc", "/proc", "--dev", "/dev"],
    ...["--size", String(fixedLimits.sharedMemoryMb * bytesPerMb), "--tmpfs", "/dev/shm"],
    ...["--size", String(view.temporaryMb * bytesPerMb), "--tmpfs", "/tmp", "--symlink", "/tmp", "/var/tmp"],
    ...["--bind", view.directory, insideDirectory, "--chdir", "/"],
    // bubblewrap's own root and /dev are writable memory of half the machine's size unless they are closed.
    ...["--remount-ro", "/dev", "--remount-ro", "/"],
    ...environmentArguments(view.environment),
    ...["--seccomp", String(view.seccomp), "--"],
  ];
}

function besideUsr(name: string): string[] {
  const entry = lstatSync(`/${name}`, { throwIfNoEntry: false });
  if (entry === undefined) return [];
  return entry.isSymbolicLink() ? ["--symlink", `usr/${name}`, `/${name}`] : ["--ro-bind", `/${name}`, `/${name}`];
}

/** Each mount costs a tenth of a millisecond: with the prepared directory there is one. */
function etcArguments({ etc, network }: BwrapView): string[] {
  if ("directory" in etc) return ["--ro-bind", etc.directory, "/etc"];
  return [
    ...[...etcShown, ...(network ? etcForNetwork : [])].flatMap((name) => showIfThere(`/etc/${name}`)),
    ...["--ro-bind-data", String(etc.passwd), "/etc/passwd", "--ro-bind-data", String(etc.group), "/etc/group"],
  ];
}

function showIfThere(path: string): string[] {
  return ["--ro-bind-try", path, path];
}

function environmentArguments(environment: Record<string, string>): string[] {
  const all = { HOME: insideDirectory, PATH: searchPath, LANG: "C.UTF-8", ...environment };
  return ["--clearenv", ...Object.entries(all).flatMap(([name, value]) => ["--setenv", name, value])];
}

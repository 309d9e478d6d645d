import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import type { RunIdentity } from "./driver.ts";
import { isReachable } from "./reachable.ts";
import { within } from "./within.ts";

/**
 * A way to a directory that an unprivileged account cannot reach by its path, because a directory above it is closed
 * (`/root`, a home, a data directory with mode 0700). Only root needs one, and only root can open one.
 */
export type Gateway = {
  /** The path under which the account of a run sees `path`, once it has entered. */
  inside(path: string): string;
  /** What to put before a command so that it enters and drops to the account, its groups and capabilities gone. */
  enter(identity: RunIdentity | null): string[];
  close(): Promise<void>;
};

const readyMs = 5_000;
const script = `mount --rbind "$1" "$2" && echo R && exec cat >/dev/null`;

/**
 * Opens a mount namespace of its own in which `directory` is also mounted at a place that can be reached. It is held by
 * a process that ends with the server, and with it the namespace. Resolves with the reason when it cannot be had.
 */
export async function openGateway(directory: string, tag: string): Promise<Gateway | string> {
  const place = reachablePlace(tag);
  const holder = Bun.spawn(
    ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "gateway", directory, place],
    { stdio: ["pipe", "pipe", "pipe"], env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" } },
  );
  const close = async () => {
    holder.stdin.end();
    holder.kill("SIGKILL");
    await holder.exited;
    rmdirSync(place);
  };
  const ready = await within(readyMs, holder.stdout.getReader().read());
  if (ready?.value === undefined) {
    holder.kill("SIGKILL");
    const reason = await new Response(holder.stderr).text();
    await close();
    return reason.trim() || "the mount namespace could not be set up";
  }
  return {
    inside: (path) => join(place, relative(directory, path)),
    enter: (identity) => ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`, ...dropping(identity), "--"],
    close,
  };
}

/** The same after a restart, so that a server that was killed leaves one empty directory and not one each time. */
function reachablePlace(tag: string): string {
  const parent = isReachable(tmpdir()) ? tmpdir() : "/tmp";
  const usual = join(parent, `fairlead-gate-${tag}`);
  const found = lstatSync(usual, { throwIfNoEntry: false });
  if (found === undefined) mkdirSync(usual);
  const isOurs = found === undefined || (found.isDirectory() && found.uid === process.getuid?.());
  const place = isOurs ? usual : mkdtempSync(`${usual}-`);
  chmodSync(place, 0o755);
  return place;
}

function dropping(identity: RunIdentity | null): string[] {
  return identity === null ? [] : ["--setgid", String(identity.gid), "--setuid", String(identity.uid)];
}

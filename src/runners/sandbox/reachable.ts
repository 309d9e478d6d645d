import { chmodSync, statSync } from "node:fs";
import { dirname, resolve, sep } from "node:path";

const othersMayEnter = 0o001;

/** True when an account without any rights of its own can get to `directory`: it and all above it may be entered by others. */
export function isReachable(directory: string): boolean {
  for (let path = resolve(directory); ; path = dirname(path)) {
    if (!mayBeEntered(path)) return false;
    if (path === dirname(path)) return true;
  }
}

/**
 * Lets the accounts of runs pass through the server's own directories, from `dataDir` down to `directory`: through, not
 * into, since reading what is in them is another right. Nothing above `dataDir` is changed.
 */
export function openWay(dataDir: string, directory: string): void {
  const top = resolve(dataDir);
  for (let path = resolve(directory); path === top || path.startsWith(top + sep); path = dirname(path)) {
    if (!mayBeEntered(path)) chmodSync(path, (statSync(path).mode & 0o7777) | othersMayEnter);
  }
}

function mayBeEntered(path: string): boolean {
  return (statSync(path).mode & othersMayEnter) !== 0;
}

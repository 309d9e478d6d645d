import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";

const othersMayEnter = 0o001;

/** True when an account without any rights of its own can get to `directory`: it and all above it may be entered by others. */
export function isReachable(directory: string): boolean {
  for (let path = resolve(directory); ; path = dirname(path)) {
    if ((statSync(path).mode & othersMayEnter) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

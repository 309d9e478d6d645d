import { lchownSync, chmodSync, lstatSync, opendirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Accounts } from "./accounts.ts";
import type { RunIdentity } from "./driver.ts";

const entriesAtOnce = 500;
const ownerOnly = 0o700;

/**
 * The account that will run in a payload's directory: the one it belongs to, else a free one. Throws when it belongs to
 * somebody who is neither the server nor an account of its runs.
 */
export function identityFor(directory: string, accounts: Accounts): RunIdentity {
  const { uid: owner, mode } = lstatSync(directory);
  if (isServer(owner)) return accounts.take(null);
  if (accounts.owns(owner)) {
    // An earlier run may have closed it to itself. Its parent is the server's, so this is still the same directory.
    if ((mode & ownerOnly) !== ownerOnly) chmodSync(directory, ownerOnly);
    return accounts.take(owner);
  }
  throw new Error(`the files belong to account ${owner}, which is neither the server nor an account of its runs`);
}

/**
 * Gives a payload's directory to the account that will run in it, before anything does. Only a directory that still
 * belongs to the server is changed, and the directory itself last: once it belongs to an account of ours, user code may
 * have run in it, and nothing in it is ever touched by path again (CVE-2024-28189).
 */
export async function handOver(directory: string, identity: RunIdentity): Promise<void> {
  if (!isServer(lstatSync(directory).uid)) return;
  await chownBelow(directory, identity);
  chmodSync(directory, ownerOnly);
  lchownSync(directory, identity.uid, identity.gid);
}

function isServer(uid: number): boolean {
  return uid === process.getuid?.();
}

async function chownBelow(directory: string, identity: RunIdentity): Promise<void> {
  const waiting = [directory];
  let seen = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const entries = opendirSync(next);
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const path = join(next, entry.name);
      lchownSync(path, identity.uid, identity.gid);
      if (entry.isDirectory()) waiting.push(path);
      if (++seen % entriesAtOnce === 0) await setImmediate();
    }
    entries.closeSync();
  }
}

import {
  chmodSync,
  copyFileSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  type Stats,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

const entriesAtOnce = 50;

/** What was found at each path that was copied; links are told by the directory they are in. */
export type Stamps = Map<string, string>;

/** How much more may be copied. */
export type CopyLeft = { entries: number; bytes: number };

/**
 * Copies a directory or file with its modes and, for root, its owners; links stay what they are. Throws when there is
 * more than `left`, which it counts down, or something that is neither file, directory nor link. The event loop has its
 * turn in between.
 */
export async function copyTree(from: string, to: string, left: CopyLeft, stamps: Stamps): Promise<void> {
  const stats = lstatSync(from);
  left.entries--;
  if (stats.isFile()) left.bytes -= stats.size;
  if (left.entries % entriesAtOnce === 0) await setImmediate();
  if (left.entries < 0 || left.bytes < 0) throw new Error(`${from} is more than may be copied`);
  if (stats.isSymbolicLink()) {
    symlinkSync(readlinkSync(from), to);
    return;
  }
  stamps.set(from, stampOf(stats));
  if (stats.isDirectory()) {
    mkdirSync(to);
    for (const name of readdirSync(from)) await copyTree(join(from, name), join(to, name), left, stamps);
  } else if (stats.isFile()) copyFileSync(from, to);
  else throw new Error(`${from} is neither a file nor a directory`);
  giveRights(to, stats);
}

/** Tells whether a file or a directory was changed since; what is not there has one too. */
export function stampOf(stats: Stats | undefined): string {
  return stats === undefined ? "absent" : `${stats.dev} ${stats.ino} ${stats.size} ${stats.ctimeMs}`;
}

function giveRights(path: string, { uid, gid, mode }: Stats): void {
  if (process.getuid?.() === 0) lchownSync(path, uid, gid);
  chmodSync(path, mode & 0o777);
}

import type { Stats } from "node:fs";
import { type WalkLimits, walkTree } from "./tree.ts";

/**
 * Returns a test for files with several names: true when all of them lie in the tree. A name outside means that the content
 * is somebody else's. The tree is counted when the first such file is asked for.
 */
export function createHardLinkCheck(root: string, limits: WalkLimits): (stat: Stats) => Promise<boolean> {
  let counted: Promise<Map<string, number>> | undefined;
  return async (stat) => {
    if (stat.nlink === 1) return true;
    counted ??= countNames(root, limits);
    return ((await counted).get(inodeOf(stat)) ?? 0) >= stat.nlink;
  };
}

async function countNames(root: string, limits: WalkLimits): Promise<Map<string, number>> {
  const names = new Map<string, number>();
  for await (const found of walkTree(root, limits)) {
    if (found.kind !== "file" || found.stat.nlink === 1) continue;
    const inode = inodeOf(found.stat);
    names.set(inode, (names.get(inode) ?? 0) + 1);
  }
  return names;
}

function inodeOf(stat: Stats): string {
  return `${stat.dev}:${stat.ino}`;
}

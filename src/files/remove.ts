import { randomUUID } from "node:crypto";
import { chmodSync, lstatSync, renameSync, rmdirSync, unlinkSync } from "node:fs";
import { readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { childOf, codeOf, type HeldDirectory, holdDirectory, releaseDirectory } from "./descriptor.ts";

const unlinksAtOnce = 32;

type Removal = {
  root: string;
  /** Directories to empty, each directly in the root: names as long and trees as deep as they like never make a long path. */
  waiting: Buffer[];
  tag: string;
  moved: number;
  removed: number;
  faults: unknown[];
};

/**
 * Removes a directory that user code may have left in any state: closed directories, deep trees, many entries, links (never
 * followed). Its processes must be gone. Resolves to the number of entries removed, 0 when there is nothing. Throws when
 * something could not be removed, after removing the rest.
 */
export async function removeTree(directory: string): Promise<number> {
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  const removal: Removal = {
    root: directory,
    waiting: [],
    tag: randomUUID(),
    moved: 0,
    removed: 0,
    faults: [],
  };
  if (!stat.isDirectory()) {
    unlinkSync(directory);
    return 1;
  }
  await empty(removal);
  if (removal.faults.length === 0) return removal.removed;
  const many = `${removal.faults.length} entries of ${directory} could not be removed`;
  throw new Error(many, { cause: removal.faults[0] });
}

async function empty(removal: Removal): Promise<void> {
  const root = Buffer.from(removal.root);
  await emptyOne(removal, root, true);
  for (let next = removal.waiting.pop(); next !== undefined; next = removal.waiting.pop()) {
    const path = Buffer.concat([root, Buffer.from("/"), next]);
    await emptyOne(removal, path, false);
    removeEmpty(removal, path);
  }
  removeEmpty(removal, root);
}

async function emptyOne(removal: Removal, path: Buffer, isRoot: boolean): Promise<void> {
  const held = attempt(removal, () => openToRemove(path));
  if (held === null) return;
  try {
    const names = await readdir(held.at, { encoding: "buffer" });
    for (let from = 0; from < names.length; from += unlinksAtOnce) {
      const some = names.slice(from, from + unlinksAtOnce);
      await Promise.all(some.map((name) => removeEntry(removal, { held, name, isRoot })));
    }
  } catch (fault) {
    removal.faults.push(fault);
  } finally {
    releaseDirectory(held);
  }
}

function openToRemove(path: Buffer): HeldDirectory {
  const held = holdDirectory(path);
  chmodSync(held.at, 0o700);
  return held;
}

/** Not the synchronous call: a busy disk makes each of them wait, and the event loop with it. */
async function removeEntry(
  removal: Removal,
  entry: { held: HeldDirectory; name: Buffer; isRoot: boolean },
): Promise<void> {
  const path = childOf(entry.held, entry.name);
  try {
    await unlink(path);
    removal.removed += 1;
  } catch (fault) {
    attempt(removal, () => {
      if (!lstatSync(path).isDirectory()) throw fault;
      if (entry.isRoot) removal.waiting.push(entry.name);
      else moveUp(removal, path);
    });
  }
}

function removeEmpty(removal: Removal, path: Buffer): void {
  attempt(removal, () => {
    rmdirSync(path);
    removal.removed += 1;
  });
}

function moveUp(removal: Removal, path: Buffer): void {
  // Moving a directory to another parent needs the right to write into it.
  releaseDirectory(openToRemove(path));
  removal.moved += 1;
  const name = `${removal.tag}-${removal.moved}`;
  renameSync(path, join(removal.root, name));
  removal.waiting.push(Buffer.from(name));
}

function attempt<T>(removal: Removal, act: () => T): T | null {
  try {
    return act();
  } catch (fault) {
    if (codeOf(fault) !== "ENOENT") removal.faults.push(fault);
    return null;
  }
}

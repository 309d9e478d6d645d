import { lstatSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./descriptor.ts";
import { removeTree } from "./remove.ts";

/** Removes the directories in `parent` that nothing has written to for so long. Returns how many. */
export async function sweepOld(
  parent: string,
  options: { olderThanMs: number; keep?: (name: string) => boolean },
): Promise<number> {
  let swept = 0;
  for (const name of await namesIn(parent)) {
    const path = join(parent, name);
    if (options.keep?.(name) || Date.now() - (await lastWrite(path)) < options.olderThanMs) continue;
    await removeTree(path);
    swept += 1;
  }
  return swept;
}

/** A directory's own time stands still while a large file in it grows. */
async function lastWrite(directory: string): Promise<number> {
  const children = await namesIn(directory).catch(() => []);
  const paths = [directory, ...children.map((name) => join(directory, name))];
  return Math.max(...paths.map((path) => lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0));
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (fault) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(fault))) return [];
    throw fault;
  }
}

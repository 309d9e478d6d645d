import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fsync, mkdirSync, openSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { EngineError } from "../errors.ts";
import { codeOf } from "./descriptor.ts";

/**
 * Renames a directory to its final place. Refuses with `conflict` when the place is taken. That it outlives a power cut takes a
 * `flushDirectory` of it, and of its parent afterwards.
 */
export async function moveIn(from: string, to: string): Promise<void> {
  mkdirSync(dirname(to), { recursive: true });
  // A rename would replace an empty directory without a word.
  if (existsSync(to)) throw new EngineError("conflict", `There are files at this payload's place already`);
  await rename(from, to);
}

/** Writes to the disk which names a directory holds. */
export async function flushDirectory(path: string): Promise<void> {
  const fd = openSync(path, "r");
  try {
    await new Promise<void>((resolve, reject) => fsync(fd, (fault) => (fault ? reject(fault) : resolve())));
  } finally {
    closeSync(fd);
  }
}

/** Renames a directory away, so that it is gone at once however long its removal takes. Returns where it is now. */
export async function moveOut(from: string, trash: string): Promise<string> {
  mkdirSync(trash, { recursive: true });
  const to = join(trash, randomUUID());
  try {
    await rename(from, to);
    return to;
  } catch (fault) {
    // User code may have closed the directory to its owner; removal in place opens it again.
    if (["ENOENT", "EACCES"].includes(codeOf(fault))) return from;
    throw fault;
  }
}

import { readlinkSync, type Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { childOf, codeOf, type HeldDirectory, holdDirectory, makeSearchable, releaseDirectory } from "./descriptor.ts";
import { resolveLink, type Segments, shownName } from "./file-path.ts";

/** Bounds of a walk: levels of directories, and entries in all. Paths are bounded so that they can be unpacked somewhere. */
export type WalkLimits = { depthMax: number; entriesMax: number };

export const walkLimits: WalkLimits = { depthMax: 64, entriesMax: 100_000 };

/**
 * One thing found in a tree. `path` is relative, with `/`. `directory` and `name` are for `openRegular` and are good until the
 * walk is asked for the next one. A link's `target` is null when it leaves the tree.
 */
export type Found =
  | { kind: "file"; path: string; stat: Stats; directory: HeldDirectory; name: Buffer }
  | { kind: "directory"; path: string; stat: Stats; isEmpty: boolean }
  | { kind: "link"; path: string; target: Segments | null }
  | { kind: "skipped"; path: string; reason: string };

type Walk = { limits: WalkLimits; entries: number };
const pathBytesMax = 2_048;
/** Looked at together, on other threads: a cold disk must not hold the event loop. */
const entriesAtOnce = 32;

type Listed = { held: HeldDirectory; names: Buffer[]; close(): void };
type Level = Listed & { segments: Segments; prefix: string; taken?: Set<string> };

/**
 * Walks a directory that user code may have left hostile, or may still be writing. Nothing is followed, opened or blocked
 * on; each entry is looked at through its directory's descriptor. What goes beyond the limits is said, once.
 */
export async function* walkTree(root: string, limits: WalkLimits = walkLimits): AsyncGenerator<Found> {
  const top = await list(root);
  try {
    yield* visit({ limits, entries: 0 }, { ...top, segments: [], prefix: "" });
  } finally {
    top.close();
  }
}

async function* visit(walk: Walk, level: Level): AsyncGenerator<Found> {
  for (let from = 0; from < level.names.length; from += entriesAtOnce) {
    const names = level.names.slice(from, from + entriesAtOnce);
    const stats = await Promise.all(names.map((name) => statOf(level, name)));
    for (const [index, name] of names.entries()) {
      walk.entries += 1;
      if (walk.entries > walk.limits.entriesMax) {
        // Said once: every level above stops at its next entry without a word.
        if (walk.entries === walk.limits.entriesMax + 1) yield overflow(level, walk.limits);
        return;
      }
      yield* look(walk, level, { name, stat: stats[index] ?? null });
    }
  }
}

async function* look(
  walk: Walk,
  level: Level,
  { name, stat }: { name: Buffer; stat: Stats | string | null },
): AsyncGenerator<Found> {
  const path = level.prefix + shownName(name);
  const problem = problemWith(level, name, path);
  if (problem !== null) return yield problem;
  if (stat === null) return;
  if (typeof stat === "string") yield { kind: "skipped", path, reason: stat };
  else if (stat.isDirectory()) yield* enter(walk, level, { name, path, stat });
  else if (stat.isFile()) yield { kind: "file", path, stat, directory: level.held, name };
  else if (stat.isSymbolicLink()) yield lookAtLink(level, name, path);
  else yield { kind: "skipped", path, reason: kindOf(stat) };
}

function problemWith(level: Level, name: Buffer, path: string): Found | null {
  if (isTaken(level, name)) return { kind: "skipped", path, reason: "its escaped name belongs to another file" };
  if (Buffer.byteLength(path) <= pathBytesMax) return null;
  const reason = `holds a path of more than ${pathBytesMax} bytes`;
  return { kind: "skipped", path: level.prefix.slice(0, -1), reason };
}

async function* enter(
  walk: Walk,
  level: Level,
  { name, path, stat }: { name: Buffer; path: string; stat: Stats },
): AsyncGenerator<Found> {
  const segments = [...level.segments, name];
  if (segments.length > walk.limits.depthMax) {
    return yield { kind: "skipped", path, reason: `lies deeper than ${walk.limits.depthMax} directories` };
  }
  const listed = await list(childOf(level.held, name)).catch((fault: unknown) => codeOf(fault));
  if (typeof listed === "string") return yield { kind: "skipped", path, reason: `cannot be read (${listed})` };
  try {
    yield { kind: "directory", path, stat, isEmpty: listed.names.length === 0 };
    yield* visit(walk, { ...listed, segments, prefix: `${path}/` });
  } finally {
    listed.close();
  }
}

async function list(path: string | Buffer): Promise<Listed> {
  const held = holdDirectory(path);
  let restore: (() => void) | undefined;
  const close = () => {
    restore?.();
    releaseDirectory(held);
  };
  try {
    restore = makeSearchable(held);
    return { held, names: await readdir(held.at, { encoding: "buffer" }), close };
  } catch (fault) {
    close();
    throw fault;
  }
}

/** Null when it is gone again; a sentence when it cannot be seen. */
async function statOf(level: Level, name: Buffer): Promise<Stats | string | null> {
  try {
    return await lstat(childOf(level.held, name));
  } catch (fault) {
    return codeOf(fault) === "ENOENT" ? null : `cannot be read (${codeOf(fault)})`;
  }
}

function lookAtLink(level: Level, name: Buffer, path: string): Found {
  try {
    const target = readlinkSync(childOf(level.held, name), { encoding: "buffer" });
    return { kind: "link", path, target: resolveLink(level.segments, target) };
  } catch (fault) {
    return { kind: "skipped", path, reason: `cannot be read (${codeOf(fault)})` };
  }
}

function isTaken(level: Level, name: Buffer): boolean {
  const shown = Buffer.from(shownName(name));
  if (shown.equals(name)) return false;
  level.taken ??= new Set(level.names.map((other) => other.toString("latin1")));
  return level.taken.has(shown.toString("latin1"));
}

function overflow(level: Level, limits: WalkLimits): Found {
  return {
    kind: "skipped",
    path: level.prefix === "" ? "." : level.prefix.slice(0, -1),
    reason: `has entries beyond the first ${limits.entriesMax} of the directory tree; they are left out`,
  };
}

function kindOf(stat: Stats): string {
  if (stat.isFIFO()) return "is a named pipe";
  if (stat.isSocket()) return "is a socket";
  return stat.isBlockDevice() || stat.isCharacterDevice() ? "is a device" : "is not a regular file";
}

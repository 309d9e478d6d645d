import { closeSync, readSync, type Stats } from "node:fs";
import { createPool, readChunks } from "./chunks.ts";
import { openRegular } from "./descriptor.ts";
import { shownName } from "./file-path.ts";
import { createHardLinkCheck } from "./hard-links.ts";
import { mediaTypeOf } from "./media-type.ts";
import { type Found, type WalkLimits, walkLimits, walkTree } from "./tree.ts";

/** A regular file of a payload. `sha256` is hex, null where it was not asked for; `mode` holds the nine permission bits. */
export type ManifestFile = {
  path: string;
  bytes: number;
  sha256: string | null;
  mediaType: string;
  mode: number;
  modifiedAt: string;
};

/**
 * What a payload's directory holds. Paths are relative, with `/`; names that are not UTF-8 are shown with `%XX`. Up to 20,000
 * files are sorted by path. `directories` are those without entries. `links` lead to paths inside. `skipped` says what is
 * there and is not a file, and why.
 */
export type Manifest = {
  files: ManifestFile[];
  directories: { path: string; mode: number }[];
  links: { path: string; target: string }[];
  skipped: { path: string; reason: string }[];
  /** Sum of the files' sizes. */
  bytes: number;
};

/** A regular file found in the directory, open for reading. */
export type TakenFile = { path: string; fd: number; stat: Stats };

/** What is done with each file: its SHA-256, null for none, or why it is left out. The descriptor is closed afterwards. */
export type Take = (file: TakenFile) => Promise<string | null | { skipped: string }>;

type Reading = {
  manifest: Manifest;
  isOurs: ReturnType<typeof createHardLinkCheck>;
  take: Take;
  atOnce: Set<Promise<unknown>>;
  atOnceMax: number;
  faults: unknown[];
};

const skippedMax = 10_000;
// Sorting more would hold the event loop for tens of milliseconds.
const sortedMax = 20_000;
// A page: a thread round trip takes longer than to read it.
const syncReadBytesMax = 4_096;
const hashChunkBytes = 262_144;
// About a minute of hashing. Holes count in full: a script can make terabytes of them in no time.
const hashedBytesMax = 68_719_476_736;

/**
 * Walks a directory after user code has run and describes it, with a SHA-256 of every file (null beyond `bytesMax` in all, 64
 * GiB when left out). Files are opened without following links or blocking; a file whose other names lie elsewhere is skipped.
 */
export async function readManifest(
  directory: string,
  options: Partial<WalkLimits> & { bytesMax?: number } = {},
): Promise<Manifest> {
  let bytesLeft = options.bytesMax ?? hashedBytesMax;
  const take = (file: TakenFile) => {
    bytesLeft -= file.stat.size;
    return bytesLeft < 0 ? Promise.resolve(null) : hashFile(file);
  };
  return await describeTree(directory, { ...options, take });
}

/** The same without hashes: reads no content. For a directory that is still being written. */
export async function listTree(directory: string, limits: Partial<WalkLimits> = {}): Promise<Manifest> {
  return await describeTree(directory, { ...limits, take: () => Promise.resolve(null) });
}

/** The same with `take` in the place of hashing, for up to `atOnceMax` files at once. */
export async function describeTree(
  directory: string,
  options: Partial<WalkLimits> & { take: Take; atOnceMax?: number },
): Promise<Manifest> {
  const limits = { ...walkLimits, ...options };
  const manifest: Manifest = { files: [], directories: [], links: [], skipped: [], bytes: 0 };
  const isOurs = createHardLinkCheck(directory, limits);
  const atOnce = new Set<Promise<unknown>>();
  const { take, atOnceMax = 1 } = options;
  const reading: Reading = { manifest, isOurs, take, atOnce, atOnceMax, faults: [] };
  for await (const found of walkTree(directory, limits)) {
    if (reading.faults.length > 0) break;
    await add(reading, found);
  }
  await Promise.all(atOnce);
  if (reading.faults.length > 0) throw reading.faults[0];
  if (manifest.files.length <= sortedMax) manifest.files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return manifest;
}

/** SHA-256 in hex of an open file, up to the size it had when opened. */
export async function hashFile(file: TakenFile): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  if (file.stat.size <= syncReadBytesMax) return hash.update(readSmall(file)).digest("hex");
  const pool = createPool({ count: 1, chunkBytes: Math.min(hashChunkBytes, file.stat.size + 1) });
  for await (const chunk of readChunks(file.fd, { start: 0, length: file.stat.size, pool })) hash.update(chunk);
  return hash.digest("hex");
}

function readSmall({ fd, stat }: TakenFile): Buffer {
  const content = Buffer.allocUnsafe(stat.size);
  let bytes = 0;
  for (let read = -1; read !== 0 && bytes < content.length; bytes += read)
    read = readSync(fd, content, bytes, content.length - bytes, bytes);
  return content.subarray(0, bytes);
}

async function add(reading: Reading, found: Found): Promise<void> {
  const { manifest } = reading;
  switch (found.kind) {
    case "file":
      return await addFile(reading, found);
    case "directory":
      if (found.isEmpty) manifest.directories.push({ path: found.path, mode: found.stat.mode & 0o777 });
      return;
    case "link":
      if (found.target === null) return skip(manifest, found.path, "is a link that leaves the directory");
      manifest.links.push({ path: found.path, target: found.target.map(shownName).join("/") });
      return;
    case "skipped":
      return skip(manifest, found.path, found.reason);
  }
}

async function addFile(reading: Reading, found: Extract<Found, { kind: "file" }>): Promise<void> {
  const opened = openRegular(found.directory, found.name);
  if ("refused" in opened) return skip(reading.manifest, found.path, opened.refused);
  if (!(await reading.isOurs(opened.stat))) {
    closeSync(opened.fd);
    return skip(reading.manifest, found.path, "is a hard link to a file elsewhere");
  }
  const taken = take(reading, { path: found.path, ...opened })
    .catch((fault: unknown) => reading.faults.push(fault))
    .finally(() => reading.atOnce.delete(taken));
  reading.atOnce.add(taken);
  if (reading.atOnce.size >= reading.atOnceMax) await Promise.race(reading.atOnce);
}

async function take(reading: Reading, file: TakenFile): Promise<void> {
  const { path, stat } = file;
  const taken = await reading.take(file).finally(() => closeSync(file.fd));
  if (typeof taken === "object" && taken !== null) return skip(reading.manifest, path, taken.skipped);
  const [bytes, mediaType, mode] = [stat.size, mediaTypeOf(path), stat.mode & 0o777];
  reading.manifest.bytes += bytes;
  reading.manifest.files.push({ path, bytes, sha256: taken, mediaType, mode, modifiedAt: stat.mtime.toISOString() });
}

function skip(manifest: Manifest, path: string, reason: string): void {
  if (manifest.skipped.length < skippedMax) manifest.skipped.push({ path, reason });
}

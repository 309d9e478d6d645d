import { closeSync, type Stats } from "node:fs";
import { openBeneath } from "./beneath.ts";
import { byteStream } from "./byte-stream.ts";
import { chunksOf, createPool, type Pool } from "./chunks.ts";
import { deflateChunkBytes, deflateInFlight } from "./deflate.ts";
import { type OpenedRegular, openRegular } from "./descriptor.ts";
import { createHardLinkCheck } from "./hard-links.ts";
import { type Found, type WalkLimits, walkLimits, walkTree } from "./tree.ts";
import { createNotes, type Notes } from "./zip-notes.ts";
import { writeZip, type ZipItem, type ZipWriterOptions } from "./zip-writer.ts";

export type ZipOptions = ZipWriterOptions &
  Partial<WalkLimits> & {
    /** Bytes of content that links inside the directory may add; 1 GiB when left out. */
    linkedBytesMax?: number;
  };

type Packing = {
  root: string;
  pool: Pool;
  linkedBytesLeft: number;
  isOurs: ReturnType<typeof createHardLinkCheck>;
  notes: Notes;
};
type FoundOf<K extends Found["kind"]> = Extract<Found, { kind: K }>;

const linkedBytesMaxDefault = 1_073_741_824;

/**
 * The directory as a zip, written while it is walked and read: files with their permissions and times, directories (empty ones
 * too), and links to files inside as the files they lead to. Whatever cannot be taken (links that leave, pipes, sockets,
 * devices, hard links to files elsewhere, unreadable files) is named with its reason in an entry `FAIRLEAD-LEFT-OUT.txt`. A
 * file that grows is cut at the size it had when opened. No limit of 4 GiB or 65,535 entries (zip64). The stream fails when
 * the directory is not there.
 */
export function zipStream(directory: string, options: ZipOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
  const limits = { ...walkLimits, ...options };
  const packing: Packing = {
    root: directory,
    pool: createPool({ count: deflateInFlight + 2, chunkBytes: deflateChunkBytes }),
    linkedBytesLeft: options.linkedBytesMax ?? linkedBytesMaxDefault,
    isOurs: createHardLinkCheck(directory, limits),
    notes: createNotes(),
  };
  return byteStream(writeZip(items(packing, limits), options));
}

async function* items(packing: Packing, limits: WalkLimits): AsyncGenerator<ZipItem> {
  for await (const found of walkTree(packing.root, limits)) {
    const item = await itemOf(packing, found);
    packing.notes.saw(found.path);
    if (item !== null) yield item;
  }
  const notes = packing.notes.item();
  if (notes !== null) yield notes;
}

async function itemOf(packing: Packing, found: Found): Promise<ZipItem | null> {
  switch (found.kind) {
    case "directory":
      return directoryItem(found.path, found.stat);
    case "file":
      return await opened(packing, found.path, openRegular(found.directory, found.name));
    case "link":
      return await linkItem(packing, found);
    case "skipped":
      return packing.notes.add(found.path, found.reason);
  }
}

function directoryItem(path: string, stat: Stats): ZipItem {
  return { path, mode: stat.mode, mtimeMs: stat.mtimeMs, bytesMax: 0, chunks: null };
}

async function linkItem(packing: Packing, found: FoundOf<"link">): Promise<ZipItem | null> {
  if (found.target === null) return packing.notes.add(found.path, "is a link that leaves the directory");
  const file = openBeneath(packing.root, found.target);
  if (file === null) return packing.notes.add(found.path, "is a link to something that is not a file");
  if (file.stat.size > packing.linkedBytesLeft) {
    closeSync(file.fd);
    return packing.notes.add(found.path, "is a link, and links have added enough already");
  }
  packing.linkedBytesLeft -= file.stat.size;
  return await opened(packing, found.path, file);
}

async function opened(packing: Packing, path: string, file: OpenedRegular): Promise<ZipItem | null> {
  if ("refused" in file) return packing.notes.add(path, file.refused);
  const { fd, stat } = file;
  if (!(await packing.isOurs(stat))) {
    closeSync(fd);
    return packing.notes.add(path, "is a hard link to a file elsewhere");
  }
  const chunks = chunksOf(fd, { start: 0, length: stat.size, pool: packing.pool });
  return { path, mode: stat.mode, mtimeMs: stat.mtimeMs, bytesMax: stat.size, chunks };
}

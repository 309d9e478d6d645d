import { Zip, type ZipInputFile } from "fflate";
import { deflateChunks, lastBlock, type Tally } from "./deflate.ts";
import {
  centralRecord,
  dosTime,
  endRecords,
  timestampExtra,
  timestampId,
  type WrittenEntry,
  wideDescriptor,
  zip64Id,
} from "./zip-records.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** One entry to write. `path` has no slash at its end; directories have no chunks. At most `bytesMax` bytes come. */
export type ZipItem = {
  path: string;
  mode: number;
  mtimeMs: number;
  bytesMax: number;
  chunks: AsyncIterable<Bytes> | null;
};

export type ZipWriterOptions = {
  /** 1 fast … 9 small; 3 when left out. */
  level?: number;
  /** Entries that may have this many bytes get 64-bit sizes. */
  wideFromBytes?: number;
};

type Archive = { offset: number; entries: number; central: Bytes[]; level: number; wideFromBytes: number };
type Entry = {
  described: Omit<WrittenEntry, "crc" | "bytes" | "packedBytes" | "offset">;
  isWide: boolean;
  tally: Tally;
  file: ZipInputFile;
  /** What fflate has written and nobody has taken yet. */
  out: Bytes[];
};

const defaultLevel = 3;
// Below 4 GiB by what incompressible data may grow.
const wideFromBytesDefault = 0xf000_0000;
const outputBytesMin = 65_536;
const recordsAtOnce = 1_000;

/**
 * Writes a zip while its entries come. fflate's `Zip` writes each entry; its archive end and its descriptors have 32-bit
 * fields only, so those that need 64 bits, and the central directory, are ours (zip64). Memory holds a few chunks and about
 * 100 bytes an entry.
 */
export async function* writeZip(items: AsyncIterable<ZipItem>, options: ZipWriterOptions = {}): AsyncGenerator<Bytes> {
  const archive: Archive = {
    offset: 0,
    entries: 0,
    central: [],
    level: options.level ?? defaultLevel,
    wideFromBytes: options.wideFromBytes ?? wideFromBytesDefault,
  };
  yield* gather(writeParts(archive, items));
}

async function* writeParts(archive: Archive, items: AsyncIterable<ZipItem>): AsyncGenerator<Bytes> {
  for await (const item of items) {
    for await (const part of writeEntry(archive, item)) {
      archive.offset += part.length;
      yield part;
    }
  }
  const offset = archive.offset;
  let bytes = 0;
  for (let from = 0; from < archive.central.length; from += recordsAtOnce) {
    const records = Buffer.concat(archive.central.slice(from, from + recordsAtOnce));
    bytes += records.length;
    yield records;
    // Nothing else would let the event loop have its turn here.
    await new Promise((resolve) => setImmediate(resolve));
  }
  yield endRecords({ entries: archive.entries, bytes, offset });
}

async function* writeEntry(archive: Archive, item: ZipItem): AsyncGenerator<Bytes> {
  const entry = createEntry(archive, item);
  const { file, tally } = entry;
  const offset = archive.offset;
  let packedBytes = 0;
  for await (const part of deflateChunks(item.chunks ?? none(), { tally, level: archive.level })) {
    packedBytes += part.length;
    file.ondata?.(null, part, false);
    yield* take(entry);
  }
  Object.assign(file, { crc: tally.crc, size: tally.bytes });
  file.ondata?.(null, lastBlock(), true);
  packedBytes += lastBlock().length;
  if (entry.isWide) entry.out.splice(-1, 1, wideDescriptor({ ...tally, packedBytes }));
  yield* take(entry);
  archive.entries += 1;
  archive.central.push(centralRecord({ ...entry.described, ...tally, packedBytes, offset }));
}

/** One fflate archive for each entry: it would keep every file it was given until its own end, which is not used. */
function createEntry(archive: Archive, item: ZipItem): Entry {
  const { mode, mtimeMs, chunks } = item;
  // A backslash is a separator to some readers on Windows, and `..\` a way out.
  const name = item.path.replaceAll("\\", "%5C") + (chunks === null ? "/" : "");
  const isWide = item.bytesMax >= archive.wideFromBytes;
  const extra: Record<number, Uint8Array> = { [timestampId]: timestampExtra(mtimeMs) };
  if (isWide) extra[zip64Id] = new Uint8Array(16);
  const file: ZipInputFile = { filename: name, size: 0, crc: 0, compression: 8, mtime: dosTime(mtimeMs), extra };
  const out: Bytes[] = [];
  let isHeader = true;
  const zip = new Zip((fault, part) => {
    if (fault) throw fault;
    out.push(isHeader && isWide ? widenHeader(part) : part);
    isHeader = false;
  });
  zip.add(file);
  const described = { name, mode, mtimeMs, isDirectory: chunks === null, isWide };
  return { described, isWide, tally: { crc: 0, bytes: 0 }, file, out };
}

/** Version 4.5, and sizes that say "see the zip64 field" (APPNOTE 4.4.8). */
function widenHeader(header: Bytes): Bytes {
  header[4] = 45;
  header.fill(0xff, 18, 26);
  return header;
}

function* take(entry: Entry): Generator<Bytes> {
  yield* entry.out.splice(0);
}

async function* none(): AsyncGenerator<Bytes> {
  // A directory has no content.
}

/** Joins small parts, so that many small files do not become many tiny writes. */
async function* gather(parts: AsyncIterable<Bytes>): AsyncGenerator<Bytes> {
  let waiting: Bytes[] = [];
  let bytes = 0;
  for await (const part of parts) {
    waiting.push(part);
    bytes += part.length;
    if (bytes < outputBytesMin) continue;
    yield waiting.length === 1 ? part : Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}

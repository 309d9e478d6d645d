import type { Bucket } from "./bucket.ts";
import { byteStream } from "./byte-stream.ts";
import { deflateChunkBytes } from "./deflate.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import { type BucketManifest, keyIn } from "./upload-tree.ts";
import { createNotes } from "./zip-notes.ts";
import { writeZip, type ZipItem } from "./zip-writer.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const linkedBytesMax = 1_073_741_824;

/** The same archive as `zipStream`, of a payload that lies in a bucket. */
export function zipObjects(bucket: Bucket, manifest: BucketManifest): ReadableStream<Bytes> {
  return byteStream(writeZip(items(bucket, manifest)));
}

async function* items(bucket: Bucket, manifest: BucketManifest): AsyncGenerator<ZipItem> {
  const notes = createNotes();
  const files = new Map(manifest.files.map((file) => [file.path, file]));
  const chunks = (file: ManifestFile) => rechunk(bucket.stream(keyIn(manifest, file.path), { bytes: file.bytes }));
  for (const { path, mode } of directoriesOf(manifest)) {
    yield { path, mode, mtimeMs: Date.now(), bytesMax: 0, chunks: null };
  }
  for (const file of manifest.files) {
    notes.saw(file.path);
    yield entry(file.path, file, chunks(file));
  }
  let linkedBytes = 0;
  for (const { path, target } of manifest.links) {
    const file = files.get(target);
    linkedBytes += file?.bytes ?? 0;
    if (file === undefined) notes.add(path, "is a link to something that is not a file");
    else if (linkedBytes > linkedBytesMax) notes.add(path, "is a link, and links have added enough already");
    else yield entry(path, file, chunks(file));
  }
  for (const { path, reason } of manifest.skipped) notes.add(path, reason);
  const left = notes.item();
  if (left !== null) yield left;
}

function entry(path: string, file: ManifestFile, chunks: AsyncIterable<Bytes>): ZipItem {
  return { path, mode: file.mode, mtimeMs: Date.parse(file.modifiedAt), bytesMax: file.bytes, chunks };
}

/** Empty directories with their modes, and every directory above a file. */
function directoriesOf(manifest: Manifest): { path: string; mode: number }[] {
  const all = new Map<string, number>();
  for (const { path } of [...manifest.files, ...manifest.directories, ...manifest.links]) {
    for (let end = path.indexOf("/"); end !== -1; end = path.indexOf("/", end + 1)) all.set(path.slice(0, end), 0o755);
  }
  for (const { path, mode } of manifest.directories) all.set(path, mode);
  return [...all].map(([path, mode]) => ({ path, mode })).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Network chunks are small and uneven; compression wants them large. */
async function* rechunk(chunks: AsyncIterable<Bytes>): AsyncGenerator<Bytes> {
  let buffer = new Uint8Array(deflateChunkBytes);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length;) {
      const part = chunk.subarray(from, from + buffer.length - filled);
      buffer.set(part, filled);
      filled += part.length;
      from += part.length;
      if (filled < buffer.length) continue;
      yield buffer;
      buffer = new Uint8Array(deflateChunkBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

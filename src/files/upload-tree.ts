import type { Bucket } from "./bucket.ts";
import { describeTree, hashFile, type Manifest, type TakenFile } from "./manifest.ts";

/** A manifest as it lies in the bucket: with the key of every file's object. */
export type BucketManifest = Manifest & { keys: Record<string, string> };

export type UploadOptions = {
  directory: string;
  before: BucketManifest;
  /** A key that no object has. */
  keyOf: (path: string) => string;
  bytesMax?: number;
};

const filesAtOnce = 8;
// Holes count in full, see `readManifest`.
const uploadedBytesMax = 274_877_906_944;

/**
 * Uploads what has changed since `before` and describes the directory. Objects are never overwritten: changed files get keys of
 * their own, so that the manifest alone decides what the payload is, and a run that is cut off, or was replaced by another,
 * changes nothing of it.
 */
export async function uploadTree(bucket: Bucket, options: UploadOptions): Promise<BucketManifest> {
  const keys: Record<string, string> = Object.create(null);
  let bytesLeft = options.bytesMax ?? uploadedBytesMax;
  const unchanged = createUnchangedCheck(options.before);
  const take = async (file: TakenFile) => {
    bytesLeft -= file.stat.size;
    if (bytesLeft < 0) return { skipped: "lies beyond what is kept of one payload" };
    const kept = await unchanged(file);
    if (kept !== null) {
      keys[file.path] = kept.key;
      return kept.sha256;
    }
    const key = options.keyOf(file.path);
    const hash = new Bun.CryptoHasher("sha256");
    await bucket.putFile(key, file, (chunk) => hash.update(chunk));
    keys[file.path] = key;
    return hash.digest("hex");
  };
  const manifest = await describeTree(options.directory, { take, atOnceMax: filesAtOnce });
  return { ...manifest, keys };
}

/** Hashes a file only if one of its size was there before. */
function createUnchangedCheck(
  before: BucketManifest,
): (file: TakenFile) => Promise<{ key: string; sha256: string } | null> {
  const files = new Map(before.files.map((file) => [file.path, file]));
  return async (file) => {
    const previous = files.get(file.path);
    if (previous?.bytes !== file.stat.size) return null;
    const sha256 = await hashFile(file);
    return sha256 === previous.sha256 ? { key: keyIn(before, file.path), sha256 } : null;
  };
}

/** The key of a file's object. */
export function keyIn(manifest: BucketManifest, path: string): string {
  const key = Object.hasOwn(manifest.keys, path) ? manifest.keys[path] : undefined;
  if (key === undefined) throw new Error(`The manifest has no key for ${JSON.stringify(path)}`);
  return key;
}

export function emptyBucketManifest(): BucketManifest {
  return { files: [], directories: [], links: [], skipped: [], bytes: 0, keys: {} };
}

import { randomUUID } from "node:crypto";
import type { Bucket } from "./bucket.ts";
import { describeTree, hashFile, type Manifest, type TakenFile } from "./manifest.ts";

/** A manifest as it lies in the bucket: with the key of every file's object. */
export type BucketManifest = Manifest & { keys: Record<string, string> };

const filesAtOnce = 8;
// Holes count in full, see `readManifest`.
const uploadedBytesMax = 274_877_906_944;

/**
 * Uploads what has changed since `before` and describes the directory. Objects are never overwritten: changed files get keys of
 * their own, so that the manifest alone decides what the payload is, and a run that is cut off, or was replaced by another,
 */
export async function uploadTree(
  bucket: Bucket,
  options: {
    directory: string;
    before: BucketManifest;
    keyOf: (path: string, tag: string) => string;
    tag?: string;
    bytesMax?: number;
  },
): Promise<BucketManifest> {
  const tag = options.tag ?? randomUUID();
  const before = new Map(options.before.files.map((file) => [file.path, file]));
  const keys: Record<string, string> = Object.create(null);
  let bytesLeft = options.bytesMax ?? uploadedBytesMax;
  const take = async (file: TakenFile) => {
    bytesLeft -= file.stat.size;
    if (bytesLeft < 0) return { skipped: "lies beyond what is kept of one payload" };
    const previous = before.get(file.path);
    const previousKey = options.before.keys[file.path];
    if (previous?.bytes === file.stat.size && previousKey !== undefined) {
      keys[file.path] = previousKey;
      if ((await hashFile(file)) === previous.sha256) return previous.sha256;
    }
    const key = options.keyOf(file.path, tag);
    const hash = new Bun.CryptoHasher("sha256");
    await bucket.putFile(key, file, (chunk) => hash.update(chunk));
    keys[file.path] = key;
    return hash.digest("hex");
  };
  const manifest = await describeTree(options.directory, { take, atOnceMax: filesAtOnce });
  return { ...manifest, keys };
}

export function emptyBucketManifest(): BucketManifest {
  return { files: [], directories: [], links: [], skipped: [], bytes: 0, keys: {} };
}

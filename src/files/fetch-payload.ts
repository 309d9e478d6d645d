import { chmodSync, mkdirSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { atOnce } from "./at-once.ts";
import type { Bucket } from "./bucket.ts";
import { segmentsOf } from "./file-path.ts";
import { type BucketManifest, keyIn } from "./upload-tree.ts";

const filesAtOnce = 8;

/**
 * Writes a payload's objects into a fresh directory that only we have written to, with their modes and times. Links and names
 * that are not UTF-8 do not survive the bucket: links are left out, names come back as they are shown.
 */
export async function fetchPayload(bucket: Bucket, manifest: BucketManifest, directory: string): Promise<void> {
  const place = (path: string) => {
    if (segmentsOf(path) === null) throw new Error(`The manifest has an impossible path ${JSON.stringify(path)}`);
    return join(directory, path);
  };
  for (const { path } of manifest.directories) mkdirSync(place(path), { recursive: true });
  await atOnce(manifest.files, {
    max: filesAtOnce,
    act: async (file) => {
      const path = place(file.path);
      mkdirSync(dirname(path), { recursive: true });
      await bucket.download(keyIn(manifest, file.path), { path, bytes: file.bytes });
      chmodSync(path, file.mode);
      utimesSync(path, new Date(), new Date(file.modifiedAt));
    },
  });
  for (const { path, mode } of manifest.directories) chmodSync(place(path), mode);
}

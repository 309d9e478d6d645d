import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { atOnce } from "./at-once.ts";
import { type Bucket, type BucketOptions, openBucket } from "./bucket.ts";
import { byteStream } from "./byte-stream.ts";
import { fetchPayload } from "./fetch-payload.ts";
import { createLocalStore } from "./local-store.ts";
import type { Manifest } from "./manifest.ts";
import { moveIn } from "./move.ts";
import { createObjectKeys, type ObjectKeys } from "./object-keys.ts";
import { payloadName } from "./payload-name.ts";
import { removeTree } from "./remove.ts";
import type { FileStore, StoredFile } from "./store.ts";
import { noFile } from "./stored-file.ts";
import { sweepOld } from "./sweep.ts";
import { type BucketManifest, emptyBucketManifest, uploadTree } from "./upload-tree.ts";
import { zipObjects } from "./zip-objects.ts";

export type S3StoreOptions = { dataDir: string; prefix?: string; bucket: BucketOptions };

type Remote = { bucket: Bucket; keys: ObjectKeys };

const deletesAtOnce = 16;
const listingsMax = 10_000;

/**
 * Payloads in a bucket, so that any node can run and serve any of them. The local disk holds uploads that are coming in and the
 * directories of this node's runs; a payload is whole without it from `commit` on, and again from `publish` on.
 */
export function createS3Store(options: S3StoreOptions): FileStore {
  const remote: Remote = { bucket: openBucket(options.bucket), keys: createObjectKeys(options.prefix ?? "") };
  const local = createLocalStore(options);
  const payloads = join(options.dataDir, "payloads");
  /** Payloads that a run of this process may be changing: what is on the disk is newer than the bucket. */
  const working = new Set<number>();
  const directoryOf = (payloadId: number) => join(payloads, payloadName(payloadId));
  const forget = async (payloadId: number) => {
    working.delete(payloadId);
    await local.remove(payloadId);
  };
  return {
    kind: "s3",
    location: (payloadId) => local.location(payloadId),
    stage: () => local.stage(),
    async commit(staging, payloadId) {
      if (await isThere(remote, payloadId)) throw new EngineError("conflict", `Payload ${payloadId} has files already`);
      const { directory } = staging;
      const manifest = await take(remote, payloadId, { directory, before: emptyBucketManifest(), tag: "" });
      await staging.discard();
      return manifest;
    },
    async workDirectory(payloadId) {
      const manifest = await read(remote, payloadId);
      const staging = await local.stage();
      await fetchPayload(remote.bucket, manifest, staging.directory);
      await removeTree(directoryOf(payloadId));
      await moveIn(staging.directory, directoryOf(payloadId));
      working.add(payloadId);
      return directoryOf(payloadId);
    },
    async publish(payloadId) {
      if (!working.has(payloadId)) throw new EngineError("not_found", `Payload ${payloadId} has no run on this node`);
      const [directory, before] = [directoryOf(payloadId), await read(remote, payloadId)];
      const manifest = await take(remote, payloadId, { directory, before, tag: randomUUID() });
      await forget(payloadId);
      return manifest;
    },
    forget,
    async list(payloadId) {
      return working.has(payloadId) ? await local.list(payloadId) : withoutKeys(await read(remote, payloadId));
    },
    async open(payloadId, path) {
      return working.has(payloadId) ? await local.open(payloadId, path) : await openObject(remote, payloadId, path);
    },
    async zip(payloadId) {
      if (working.has(payloadId)) return await local.zip(payloadId);
      return zipObjects(remote.bucket, await read(remote, payloadId));
    },
    async remove(payloadId) {
      await forget(payloadId);
      await removeObjects(remote, payloadId);
    },
    async sweepStaging(olderThanMs) {
      const keep = (name: string) => working.has(Number(name));
      return (await local.sweepStaging(olderThanMs)) + (await sweepOld(payloads, { olderThanMs, keep }));
    },
  };
}

async function take(
  { bucket, keys }: Remote,
  payloadId: number,
  from: { directory: string; before: BucketManifest; tag: string },
): Promise<Manifest> {
  const { directory, before, tag } = from;
  const keyOf = (path: string) => keys.file(payloadId, path, tag);
  const manifest = await uploadTree(bucket, { directory, before, keyOf });
  await bucket.put(keys.manifest(payloadId), JSON.stringify(manifest));
  return withoutKeys(manifest);
}

async function read({ bucket, keys }: Remote, payloadId: number): Promise<BucketManifest> {
  return JSON.parse(await bucket.text(keys.manifest(payloadId))) as BucketManifest;
}

async function isThere(remote: Remote, payloadId: number): Promise<boolean> {
  try {
    await remote.bucket.text(remote.keys.manifest(payloadId));
    return true;
  } catch (fault) {
    if (fault instanceof EngineError && fault.code === "not_found") return false;
    throw fault;
  }
}

async function openObject(remote: Remote, payloadId: number, path: string): Promise<StoredFile> {
  const manifest = await read(remote, payloadId);
  const file = manifest.files.find((one) => one.path === path);
  const key = Object.hasOwn(manifest.keys, path) ? manifest.keys[path] : undefined;
  if (file === undefined || key === undefined) throw noFile(path, payloadId);
  return {
    path,
    bytes: file.bytes,
    mediaType: file.mediaType,
    etag: `"${file.sha256}"`,
    modifiedAt: new Date(file.modifiedAt),
    stream: (span) => byteStream(remote.bucket.stream(key, { bytes: file.bytes, span })),
  };
}

async function removeObjects({ bucket, keys }: Remote, payloadId: number): Promise<void> {
  await bucket.remove(keys.manifest(payloadId));
  for (let listing = 0; listing < listingsMax; listing += 1) {
    const some = await bucket.keys(keys.all(payloadId));
    if (some.length === 0) return;
    const faults: unknown[] = [];
    const act = async (key: string) => {
      await bucket.remove(key).catch((fault: unknown) => faults.push(fault));
    };
    await atOnce(some, { max: deletesAtOnce, act });
    // What failed is in the next listing again; only when nothing went is there no hope.
    if (faults.length === some.length) throw faults[0];
  }
}

function withoutKeys({ keys: _, ...manifest }: BucketManifest): Manifest {
  return manifest;
}

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
import { abortUploads } from "./unfinished-uploads.ts";
import { type BucketManifest, emptyBucketManifest, uploadTree } from "./upload-tree.ts";
import { zipObjects } from "./zip-objects.ts";

export type S3StoreOptions = {
  dataDir: string;
  prefix?: string;
  bucket: BucketOptions;
  /**
   * The manifest in the payload's row, as `commit` or `publish` returned it, or null. It decides what the payload holds: only
   * the run that owns a task can write it, while in the bucket one that lost its task may still come last.
   */
  recorded(payloadId: number): Promise<Manifest | null>;
};

type Remote = { bucket: Bucket; keys: ObjectKeys; recorded: S3StoreOptions["recorded"] };

const deletesAtOnce = 16;
const listingsMax = 10_000;
/** No upload of a node that lives takes longer. */
const unfinishedAgeMs = 86_400_000;

/**
 * Payloads in a bucket, so that any node can run and serve any of them. The local disk holds uploads that are coming in and the
 * directories of this node's runs; a payload is whole without it from `commit` on, and again from `publish` on.
 */
export function createS3Store(options: S3StoreOptions): FileStore {
  const { recorded, prefix = "" } = options;
  const remote: Remote = { bucket: openBucket(options.bucket), keys: createObjectKeys(prefix), recorded };
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
      const { directory, flushes } = staging;
      await flushes.settled();
      const manifest = await take(remote, payloadId, { directory, before: emptyBucketManifest(), tag: "" });
      await staging.discard();
      return manifest;
    },
    async workDirectory(payloadId) {
      const manifest = await read(remote, payloadId);
      const staging = await local.stage();
      await fetchPayload(remote.bucket, manifest, staging.directory).catch(async (fault: unknown) => {
        await staging.discard();
        throw fault;
      });
      await removeTree(directoryOf(payloadId));
      await moveIn(staging.directory, directoryOf(payloadId));
      working.add(payloadId);
      return directoryOf(payloadId);
    },
    runDirectory: (payloadId) => (working.has(payloadId) ? directoryOf(payloadId) : null),
    async publish(payloadId, { isOwned, record }) {
      if (!working.has(payloadId)) throw new EngineError("not_found", `Payload ${payloadId} has no run on this node`);
      if (!(await isOwned())) return false;
      const [directory, before] = [directoryOf(payloadId), await read(remote, payloadId)];
      return await record(await take(remote, payloadId, { directory, before, tag: randomUUID() }));
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
      const here = (await local.sweepStaging(olderThanMs)) + (await sweepOld(payloads, { olderThanMs, keep }));
      // Without an age only what lies on this disk is known to be nobody's.
      if (olderThanMs < unfinishedAgeMs) return here;
      return here + (await abortUploads(options.bucket, `${prefix}payloads/`, olderThanMs));
    },
  };
}

async function take(
  { bucket, keys }: Remote,
  payloadId: number,
  from: { directory: string; before: BucketManifest; tag: string },
): Promise<BucketManifest> {
  const { directory, before, tag } = from;
  const keyOf = (path: string) => keys.file(payloadId, path, tag);
  const manifest = await uploadTree(bucket, { directory, before, keyOf });
  await bucket.put(keys.manifest(payloadId), JSON.stringify(manifest));
  return manifest;
}

/** From the bucket before there is a row, and where an earlier version has written one without keys. */
async function read({ bucket, keys, recorded }: Remote, payloadId: number): Promise<BucketManifest> {
  const manifest = await recorded(payloadId);
  if (manifest !== null && hasKeys(manifest)) return manifest;
  return JSON.parse(await bucket.text(keys.manifest(payloadId))) as BucketManifest;
}

function hasKeys(manifest: Manifest): manifest is BucketManifest {
  return Object.hasOwn(manifest, "keys");
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

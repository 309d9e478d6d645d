import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Config } from "./config.ts";
import type { Sql } from "./db/client.ts";
import { recordedManifest } from "./engine/payloads.ts";
import type { BucketOptions } from "./files/bucket.ts";
import { createLocalStore } from "./files/local-store.ts";
import type { Manifest } from "./files/manifest.ts";
import { createS3Store } from "./files/s3-store.ts";
import type { FileStore } from "./files/store.ts";
import type { ScriptRunner } from "./runners/script/runner.ts";
import { readOrCreateSecret } from "./webhooks/secret-file.ts";

const diskIdBytes = 4;

/** A bucket lets any node run and serve any payload; without one they stay on this node's disk. */
export function openStore(config: Config, sql: Sql, { takeDirectory }: Pick<ScriptRunner, "takeDirectory">): FileStore {
  const bucket = bucketOf(config);
  if (bucket === null) return createLocalStore({ dataDir: config.dataDir, takeDirectory });
  const recorded = async (payloadId: number) => {
    const manifest = await recordedManifest(sql, payloadId);
    return manifest === null ? null : (JSON.parse(manifest) as Manifest);
  };
  return createS3Store({ dataDir: config.dataDir, bucket, recorded, prefix: folder(config.s3Prefix) });
}

/** The bucket of `S3_*`; null where none is set. */
export function bucketOf(config: Config): BucketOptions | null {
  if (config.s3Bucket === "") return null;
  return {
    bucket: config.s3Bucket,
    endpoint: config.s3Endpoint,
    region: config.s3Region,
    accessKeyId: config.s3AccessKeyId,
    secretAccessKey: config.s3SecretAccessKey,
  };
}

/**
 * The tag that stands for this node's disk among the nodes of a database, when files of jobs lie on it and nowhere else: their work
 * asks for it. Processes with one `DATA_DIR` share it, and it outlives their names. Null where every node reaches all files.
 */
export async function diskTagOf(config: Config): Promise<string | null> {
  if (!isOnDiskOfOne(config)) return null;
  const id = await readOrCreateSecret(join(config.dataDir, "disk.id"), () =>
    new TextEncoder().encode(randomBytes(diskIdBytes).toString("hex")),
  );
  return `disk:${new TextDecoder().decode(id)}`;
}

/** What to know about files before there is a second node; null where it needs no words. */
export function filesNote(config: Config): string | null {
  if (!isOnDiskOfOne(config)) return null;
  return "files stay on this node's disk: no other node serves them or runs their jobs, and they are lost with it; S3_BUCKET shares them";
}

function folder(prefix: string): string {
  return prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
}

function isOnDiskOfOne({ databaseUrl, s3Bucket }: Config): boolean {
  return databaseUrl !== "" && s3Bucket === "";
}

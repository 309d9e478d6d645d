import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BucketOptions } from "../../src/files/bucket.ts";
import { removeTree } from "../../src/files/remove.ts";
import { whenFileEnds } from "../support/ending.ts";

type Server = { run(): Promise<{ port: number }>; close(): Promise<void> };
type ServerOptions = {
  port: number;
  address: string;
  silent: boolean;
  directory: string;
  configureBuckets: { name: string; configs: string[] }[];
};

/** An S3 server (s3rver) with one empty bucket, closed when the test file ends. It cannot list more than 1,000 keys on Bun. */
export async function startS3Server(): Promise<BucketOptions & { stop(): Promise<void> }> {
  const name = "s3rver";
  const { default: S3rver } = (await import(name)) as { default: new (options: ServerOptions) => Server };
  const directory = mkdtempSync(join(tmpdir(), "fairlead-s3-"));
  const bucket = "box";
  const configureBuckets = [{ name: bucket, configs: [] }];
  const server = new S3rver({ port: 0, address: "127.0.0.1", silent: true, directory, configureBuckets });
  const { port } = await server.run();
  let isOpen = true;
  const stop = async () => {
    if (isOpen) await server.close();
    isOpen = false;
  };
  whenFileEnds(async () => {
    await stop();
    await removeTree(directory);
  });
  const keys = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };
  return { bucket, endpoint: `http://127.0.0.1:${port}`, region: "us-east-1", ...keys, stop };
}

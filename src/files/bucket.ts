import { S3Client } from "bun";
import { EngineError } from "../errors.ts";
import { readChunks, createPool } from "./chunks.ts";
import { codeOf } from "./descriptor.ts";
import type { TakenFile } from "./manifest.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export type BucketOptions = {
  bucket: string;
  endpoint: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
};

/** An S3 bucket. Refuses what is not there with `not_found`, everything else that goes wrong with `unavailable`. */
export type Bucket = {
  put(key: string, content: string | Bytes): Promise<void>;
  /** Uploads an open file up to the size it had; gives every chunk to `seen` on the way. */
  putFile(key: string, file: TakenFile, seen: (chunk: Bytes) => void): Promise<void>;
  text(key: string): Promise<string>;
  /** The content of an object of that size, or a part of it (offsets, both included). */
  stream(key: string, of: Content): AsyncGenerator<Bytes>;
  /** Writes an object of that size to a file. What else the store sends, as when it ends too early, is refused. */
  download(key: string, to: { path: string; bytes: number }): Promise<void>;
  remove(key: string): Promise<void>;
  /** Up to 1,000 keys. */
  keys(prefix: string): Promise<string[]>;
};

type Content = { bytes: number; span?: { start: number; end: number } | undefined };

// Files up to this size go in one request; memory holds it once for each file under way.
const onePutBytesMax = 4_194_304;
const partBytes = 8_388_608;
const partsAtOnce = 2;
const chunkBytes = 1_048_576;
const retryAfterSeconds = 5;

export function openBucket(options: BucketOptions): Bucket {
  const client = new S3Client({ ...options, retry: 3, partSize: partBytes, queueSize: partsAtOnce });
  return {
    put: (key, content) => asked(async () => void (await client.write(key, content))),
    putFile: (key, file, seen) => asked(() => upload(client, { key, file, seen })),
    text: (key) => asked(() => client.file(key).text()),
    stream: (key, content) => download(client, key, content),
    download: (key, to) => asked(() => write(client, key, to)),
    remove: (key) => asked(() => client.delete(key)),
    keys: (prefix) => asked(async () => ((await client.list({ prefix })).contents ?? []).map(({ key }) => key)),
  };
}

async function upload(
  client: S3Client,
  { key, file, seen }: { key: string; file: TakenFile; seen: (chunk: Bytes) => void },
): Promise<void> {
  const pool = createPool({ count: 1, chunkBytes: Math.min(chunkBytes, file.stat.size + 1) });
  const chunks = readChunks(file.fd, { start: 0, length: file.stat.size, pool });
  if (file.stat.size > onePutBytesMax) return await uploadInParts(client, { key, chunks, seen });
  const whole: Bytes[] = [];
  for await (const chunk of chunks) {
    seen(chunk);
    whole.push(chunk.slice());
  }
  await client.write(key, Buffer.concat(whole));
}

async function uploadInParts(
  client: S3Client,
  { key, chunks, seen }: { key: string; chunks: AsyncIterable<Bytes>; seen: (chunk: Bytes) => void },
): Promise<void> {
  const writer = client.file(key).writer({ partSize: partBytes, queueSize: partsAtOnce });
  try {
    for await (const chunk of chunks) {
      seen(chunk);
      await writer.write(chunk);
      await writer.flush();
    }
  } catch (fault) {
    // Ended all the same, so that the store keeps no unfinished parts: the short object stands in no manifest. Bun's client has
    // no way to abort.
    await Promise.resolve(writer.end()).catch(() => undefined);
    throw fault;
  }
  await writer.end();
}

async function write(client: S3Client, key: string, { path, bytes }: { path: string; bytes: number }): Promise<void> {
  const written = await Bun.write(path, client.file(key));
  if (written === bytes) return;
  throw new EngineError("unavailable", `The object store sent ${written} bytes of a file that has ${bytes}`);
}

async function* download(client: S3Client, key: string, content: Content): AsyncGenerator<Bytes> {
  const { start, end } = content.span ?? { start: 0, end: content.bytes - 1 };
  // Some stores refuse a range of an empty object, which is what reading one asks for.
  if (end < start) return;
  const reader = client
    .file(key)
    .slice(start, end + 1)
    .stream()
    .getReader();
  let left = end - start + 1;
  try {
    while (left > 0) {
      const { value } = await asked(() => reader.read());
      if (value === undefined)
        throw new EngineError("unavailable", `The object store ended a file ${left} bytes too early`);
      // What is told of the length holds, whatever the store sends.
      const wanted = value.length > left ? value.subarray(0, left) : value;
      left -= wanted.length;
      yield wanted;
    }
  } finally {
    // A stream that has failed fails again here, and its own fault is the one to tell.
    await reader.cancel().catch(() => undefined);
  }
}

async function asked<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (!(cause instanceof Error && cause.name === "S3Error")) throw cause;
    const code = codeOf(cause);
    if (code === "NoSuchKey")
      throw new EngineError("not_found", "There are no such files in the object store", { cause });
    const message = `The object store cannot be used (${code})`;
    throw new EngineError("unavailable", message, { cause, retryAfterSeconds });
  }
}

import { Dicer } from "@fastify/busboy";
import { EngineError } from "../errors.ts";
import { boundaryOf } from "./boundary.ts";
import { headerBytesMax, headerPairsMax } from "./part-headers.ts";
import { createPartReader, type PartLimits, type Received } from "./part-reader.ts";
import type { Staging } from "./staging.ts";

/** Where a body comes from: a `Request`, or anything with these. */
export type MultipartSource = { headers: Headers; body: ReadableStream<Uint8Array> | null };

/** `bytesMax`: content of all files together. */
export type MultipartLimits = PartLimits;

type ByteReader = { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>; cancel(): Promise<void> };
// Its types leave `maxHeaderSize` out.
type DicerConfig = { boundary: string; maxHeaderPairs: number; maxHeaderSize: number };

// What every part may cost on top of its content, and what may stand around the parts.
const overheadBytesPerPart = 16_384;
const overheadBytes = 1_048_576;

/**
 * Reads a `multipart/form-data` body as it arrives: every part with a filename becomes a file of the staging directory under
 * its last path segment (a later part of the same name replaces the file), every other part a field in memory. Memory does
 * not grow with the upload; a slow disk slows the client.
 *
 * On any failure the staging directory is gone. Throws `invalid` (not well-formed, a refused name, the client left),
 * `too_large` (a limit), `unavailable` (disk full).
 */
export async function receiveMultipart(
  source: MultipartSource,
  staging: Staging,
  limits: MultipartLimits,
): Promise<Received> {
  const reader: ByteReader | undefined = source.body?.getReader();
  try {
    const boundary = boundaryOf(source.headers.get("content-type"));
    if (reader === undefined) throw new EngineError("invalid", "The request has no body");
    refuseDeclaredSize(source.headers, limits);
    return await parse(reader, boundary, { directory: staging.directory, limits });
  } catch (fault) {
    // Frees the connection's buffers; a client that is still sending gets its answer all the same.
    await reader?.cancel().catch(() => undefined);
    await staging.discard();
    throw fault;
  }
}

async function parse(
  reader: ByteReader,
  boundary: string,
  target: { directory: string; limits: MultipartLimits },
): Promise<Received> {
  const parts = createPartReader(target.directory, target.limits);
  const config: DicerConfig = { boundary, maxHeaderPairs: headerPairsMax, maxHeaderSize: headerBytesMax };
  const dicer = new Dicer(config);
  let isFinished = false;
  dicer.on("part", (part) => parts.take(part));
  dicer.on("finish", () => {
    isFinished = true;
  });
  dicer.on("error", () => {
    // It says that the body ended too early, which `isFinished` tells.
  });
  try {
    let bytes = 0;
    for (let chunk = await next(reader); chunk !== null; chunk = await next(reader)) {
      bytes += chunk.length;
      if (bytes > bodyBytesMax(target.limits)) throw tooLarge(target.limits);
      await written(dicer, chunk);
      await parts.caughtUp();
    }
    dicer.end();
    await parts.allTaken();
    if (!isFinished) throw new EngineError("invalid", "The multipart body ends before its closing boundary");
    return parts.received();
  } catch (fault) {
    dicer.end();
    await parts.abandon();
    throw fault;
  }
}

async function next(reader: ByteReader): Promise<Buffer | null> {
  try {
    const { value } = await reader.read();
    return value === undefined ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  } catch (cause) {
    throw new EngineError("invalid", "The upload was broken off before its end", { cause });
  }
}

function written(dicer: Dicer, chunk: Buffer): Promise<void> {
  return new Promise((resolve) => dicer.write(chunk, () => resolve()));
}

function refuseDeclaredSize(headers: Headers, limits: MultipartLimits): void {
  if (Number(headers.get("content-length") ?? 0) > bodyBytesMax(limits)) throw tooLarge(limits);
}

function bodyBytesMax(limits: MultipartLimits): number {
  return (
    limits.bytesMax + limits.fieldBytesMax + (limits.filesMax + limits.fieldsMax) * overheadBytesPerPart + overheadBytes
  );
}

function tooLarge(limits: MultipartLimits): EngineError {
  return new EngineError("too_large", `The upload is larger than ${limits.bytesMax} bytes`);
}

import { Dicer } from "@fastify/busboy";
import { EngineError } from "../errors.ts";
import { boundaryOf } from "./boundary.ts";
import { headerBytesMax, headerPairsMax } from "./part-headers.ts";
import { createPartReader, type PartReader } from "./part-reader.ts";
import type { PartLimits, Received } from "./part-sinks.ts";
import type { Staging } from "./staging.ts";

/** Where a body comes from: a `Request`, or anything with these. */
export type MultipartSource = { headers: Headers; body: ReadableStream<Uint8Array> | null };

/** `bytesMax`: content of all files together. */
export type MultipartLimits = PartLimits;

type ByteReader = { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>; cancel(): Promise<void> };
// Its types leave some of these out.
type DicerConfig = { boundary: string; maxHeaderPairs: number; maxHeaderSize: number; partHwm: number };

// What every part may cost on top of its content, and what may stand around the parts.
const overheadBytesPerPart = 16_384;
const overheadBytes = 1_048_576;
// What is reserved for an upload while it comes in must not grow old meanwhile.
const shortBytesMax = 1_048_576;

/**
 * Reads a `multipart/form-data` body as it arrives: every part with a filename becomes a file of the staging directory under
 * its last path segment (a later part of the same name replaces the file), every other part a field in memory. Memory does
 * not grow with the upload; a slow disk slows the client.
 *
 * The files are on the disk once the staging directory's `flushes` have settled. On any failure the directory is gone. Throws
 * `invalid` (not well-formed, a refused name, the client left), `too_large` (a limit), `unavailable` (disk full).
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
    return await parse(reader, boundary, { staging, limits });
  } catch (fault) {
    // Frees the connection's buffers; a client that is still sending gets its answer all the same.
    await reader?.cancel().catch(() => undefined);
    await staging.discard();
    throw fault;
  }
}

/** Whether an upload says that it is so short that it will have come in within moments. */
export function isShortUpload(headers: Headers): boolean {
  const bytes = headers.get("content-length");
  return bytes !== null && Number(bytes) <= shortBytesMax;
}

async function parse(
  reader: ByteReader,
  boundary: string,
  target: { staging: Staging; limits: MultipartLimits },
): Promise<Received> {
  const parts = createPartReader(target.staging, target.limits);
  const parser = createParser(boundary, parts);
  try {
    let bytes = 0;
    for (let chunk = await next(reader); chunk !== null; chunk = await next(reader)) {
      bytes += chunk.length;
      if (bytes > bodyBytesMax(target.limits)) throw tooLarge(target.limits);
      await parser.write(chunk);
      await parts.drain();
    }
    const isWhole = await parser.end();
    await parts.drain();
    if (!isWhole) throw new EngineError("invalid", "The multipart body ends before its closing boundary");
    return parts.finish();
  } catch (fault) {
    parts.abandon();
    throw fault;
  }
}

/** Dicer, made to say all it has to say about a chunk before `write` resolves. `end` tells whether the last boundary came. */
function createParser(
  boundary: string,
  parts: PartReader,
): { write(chunk: Buffer): Promise<void>; end(): Promise<boolean> } {
  const partHwm = Number.MAX_SAFE_INTEGER;
  const config: DicerConfig = { boundary, maxHeaderPairs: headerPairsMax, maxHeaderSize: headerBytesMax, partHwm };
  const dicer = new Dicer(config);
  let isFinished = false;
  let isCut = false;
  dicer.on("part", (part) => parts.take(part));
  dicer.on("finish", () => {
    isFinished = true;
  });
  // After `end`, a cut body is first an error, and then finished.
  dicer.on("error", () => {
    isCut = true;
  });
  return {
    async write(chunk) {
      await new Promise<void>((resolve) => dicer.write(chunk, () => resolve()));
      await turn();
    },
    async end() {
      dicer.end();
      await turn();
      return isFinished && !isCut;
    },
  };
}

/** Streams speak in ticks of their own; all of those are over by now. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function next(reader: ByteReader): Promise<Buffer | null> {
  try {
    const { value } = await reader.read();
    return value === undefined ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  } catch (cause) {
    throw new EngineError("invalid", "The upload was broken off before its end", { cause });
  }
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

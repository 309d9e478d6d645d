import { closeSync, type Stats } from "node:fs";
import { EngineError } from "../errors.ts";
import { openBeneath } from "./beneath.ts";
import { byteStream } from "./byte-stream.ts";
import { chunksOf, type Pool } from "./chunks.ts";
import { type Segments, segmentsOf } from "./file-path.ts";
import { createHardLinkCheck } from "./hard-links.ts";
import { mediaTypeOf } from "./media-type.ts";
import type { StoredFile } from "./store.ts";
import { walkLimits } from "./tree.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Span = { start: number; end: number };

const chunkBytes = 262_144;

/** Finds a regular file of a local payload. Its content is opened again, with the same care, when it is asked for. */
export async function openStoredFile(directory: string, path: string, payloadId: number): Promise<StoredFile> {
  const segments = segmentsOf(path);
  const opened = segments === null ? null : openBeneath(directory, segments);
  if (segments === null || opened === null) throw noFile(path, payloadId);
  closeSync(opened.fd);
  const { stat } = opened;
  if (!(await createHardLinkCheck(directory, walkLimits)(stat))) throw noFile(path, payloadId);
  return {
    path,
    bytes: stat.size,
    mediaType: mediaTypeOf(path),
    etag: `"${stat.ino.toString(16)}-${stat.size.toString(16)}-${Math.floor(stat.mtimeMs * 1_000).toString(16)}"`,
    modifiedAt: stat.mtime,
    stream: (span = { start: 0, end: stat.size - 1 }) => byteStream(read(directory, segments, { stat, span })),
  };
}

export function noFile(path: string, payloadId: number): EngineError {
  const shown = JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path);
  return new EngineError("not_found", `Payload ${payloadId} has no file ${shown}`);
}

async function* read(
  directory: string,
  segments: Segments,
  { stat, span }: { stat: Stats; span: Span },
): AsyncGenerator<Bytes> {
  const opened = openBeneath(directory, segments);
  if (opened === null) throw new Error("The file was removed while it was sent");
  const length = span.end - span.start + 1;
  let sent = 0;
  if (opened.stat.ino === stat.ino) {
    for await (const chunk of chunksOf(opened.fd, { start: span.start, length, pool: createFreshPool() })) {
      sent += chunk.length;
      yield chunk;
    }
  } else closeSync(opened.fd);
  if (sent < length) throw new Error("The file was changed while it was sent");
}

/** What is sent to a client must not be overwritten by the next read. */
function createFreshPool(): Pool {
  return { next: () => Buffer.allocUnsafeSlow(chunkBytes) };
}

import { createHash, randomBytes } from "node:crypto";
import type { Submit } from "../client.ts";
import type { Upload } from "./upload-files.ts";
import { CommandError } from "./usage-error.ts";

/** A form that is made while it is sent, so that memory does not grow with its files. */
export type JobUpload = {
  headers: Record<string, string>;
  body: ReadableStream<Uint8Array>;
  /** Bytes of the whole form. */
  bytes: number;
  /** SHA-256 in hex of each file by its name, once it was sent. */
  hashes: Map<string, string>;
};

/** `onBytes` is told how many bytes were taken by the connection so far. */
export function jobUpload(job: Submit, files: readonly Upload[], onBytes: (sent: number) => void): JobUpload {
  const boundary = `fairlead-${randomBytes(16).toString("hex")}`;
  const heads = [jobPart(job), ...files.map(({ name }) => fileHead(name))].map((text) => `--${boundary}\r\n${text}`);
  const end = `--${boundary}--\r\n`;
  const bytes = [...heads, end].reduce((sum, text) => sum + Buffer.byteLength(text), 0) + contentBytes(files);
  const hashes = new Map<string, string>();
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(heads[0] ?? "");
    for (const [at, file] of files.entries()) {
      yield Buffer.from(heads[at + 1] ?? "");
      yield* contentOf(file, hashes);
      yield Buffer.from("\r\n");
    }
    yield Buffer.from(end);
  }
  return {
    headers: { "content-type": `multipart/form-data; boundary=${boundary}`, "content-length": String(bytes) },
    body: streamOf(parts(), onBytes),
    bytes,
    hashes,
  };
}

function jobPart(job: Submit): string {
  const head = 'Content-Disposition: form-data; name="job"\r\nContent-Type: application/json';
  return `${head}\r\n\r\n${JSON.stringify(job)}\r\n`;
}

function fileHead(name: string): string {
  const quoted = name.replace(/["\\]/g, "\\$&");
  return `Content-Disposition: form-data; name="file"; filename="${quoted}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
}

function contentBytes(files: readonly Upload[]): number {
  // The line end behind each file counts as well.
  return files.reduce((sum, { bytes }) => sum + bytes + 2, 0);
}

async function* contentOf({ name, bytes, content }: Upload, hashes: Map<string, string>): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let seen = 0;
  for await (const chunk of content.stream()) {
    seen += chunk.byteLength;
    if (seen > bytes) break;
    hash.update(chunk);
    yield chunk;
  }
  if (seen !== bytes) throw new CommandError(`${name} changed while it was sent: try again when it is complete`);
  hashes.set(name, hash.digest("hex"));
}

/** Pulled by the connection, a piece at a time. */
function streamOf(parts: AsyncGenerator<Uint8Array>, onBytes: (sent: number) => void): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (done === true) return controller.close();
      sent += value.byteLength;
      onBytes(sent);
      controller.enqueue(value);
    },
    async cancel() {
      await parts.return(undefined);
    },
  });
}

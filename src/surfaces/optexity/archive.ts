import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import { createGzip, type Gzip } from "node:zlib";
import { type Pack, pack } from "tar-stream";
import type { StoredFile } from "../../files/store.ts";

/** A file of an archive: where it stands there, and its content. */
export type Packed = { name: string; open(): Promise<StoredFile> };

/** Writes a multipart body into a file, part by part: memory does not grow with it, and its length is known when it is sent. */
export class MultipartFile {
  readonly boundary = `fairlead-${crypto.randomUUID()}`;
  readonly #out: WriteStream;
  readonly #signal: AbortSignal;

  constructor(path: string, signal: AbortSignal) {
    this.#out = createWriteStream(path, { mode: 0o600 });
    // Whoever writes hears of it; without a listener it would end the process.
    this.#out.on("error", () => undefined);
    this.#signal = signal;
  }

  get contentType(): string {
    return `multipart/form-data; boundary=${this.boundary}`;
  }

  async field(name: string, value: string): Promise<void> {
    await this.#write(`${this.#head(name, null, null)}${value}\r\n`);
  }

  async file(
    name: string,
    { filename, mediaType }: { filename: string; mediaType: string },
    file: StoredFile,
  ): Promise<void> {
    await this.#write(this.#head(name, filename, mediaType));
    for await (const chunk of file.stream()) await this.#write(chunk);
    await this.#write("\r\n");
  }

  /** One part that is a `.tar.gz` of these files. */
  async archive(name: string, filename: string, files: Packed[]): Promise<void> {
    await this.#write(this.#head(name, filename, "application/gzip"));
    for await (const chunk of tarGz(files, this.#signal)) await this.#write(chunk);
    await this.#write("\r\n");
  }

  async end(): Promise<void> {
    await this.#write(`--${this.boundary}--\r\n`);
    this.#out.end();
    await finished(this.#out);
  }

  abandon(): void {
    this.#out.destroy();
  }

  #head(name: string, filename: string | null, mediaType: string | null): string {
    const disposition = `Content-Disposition: form-data; name="${name}"${filename === null ? "" : `; filename="${quotable(filename)}"`}`;
    return `--${this.boundary}\r\n${disposition}\r\n${mediaType === null ? "" : `Content-Type: ${mediaType}\r\n`}\r\n`;
  }

  async #write(chunk: string | Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#out.errored) throw this.#out.errored;
    if (!this.#out.write(chunk)) await once(this.#out, "drain", { signal: this.#signal });
  }
}

/** The bytes of a `.tar.gz`, as they are packed. */
async function* tarGz(files: Packed[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const archive = pack();
  const gzip: Gzip = createGzip();
  archive.on("error", (fault) => gzip.destroy(fault));
  archive.pipe(gzip);
  const packing = packAll(archive, files, signal).catch((fault: unknown) => {
    gzip.destroy(fault instanceof Error ? fault : new Error(String(fault)));
  });
  for await (const chunk of gzip) yield chunk;
  await packing;
}

async function packAll(archive: Pack, files: Packed[], signal: AbortSignal): Promise<void> {
  for (const { name, open } of files) {
    const file = await open();
    const entry = archive.entry({ name, size: file.bytes, mode: 0o644, mtime: file.modifiedAt });
    for await (const chunk of file.stream()) if (!entry.write(chunk)) await once(entry, "drain", { signal });
    entry.end(null);
  }
  archive.finalize();
}

/** As browsers write names into this header. */
function quotable(filename: string): string {
  return filename.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

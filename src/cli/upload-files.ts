import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { whyUnreadable } from "./read-file.ts";
import { CommandError, UsageError } from "./usage-error.ts";

/** A file that is sent along; `name` is what the job sees. */
export type Upload = { name: string; bytes: number; content: Blob };

const stdinBytesMax = 64 * 1_048_576;

/** Finds the files to be sent. `taken` are names that others have, with their paths. They lie side by side for the job, so two of one name are refused. Throws with the fix. */
export async function findUploads(
  paths: readonly string[],
  taken: ReadonlyMap<string, string> = new Map(),
): Promise<Upload[]> {
  const byName = new Map(taken);
  const uploads: Upload[] = [];
  for (const path of paths) {
    const upload = await openUpload(path, basename(path));
    const other = byName.get(upload.name);
    if (other !== undefined) {
      throw new UsageError(`${path} and ${other} would both be ${upload.name} for the job: rename one of them`);
    }
    byName.set(upload.name, path);
    uploads.push(upload);
  }
  return uploads;
}

/** A file under the name that the job sees. Throws `CommandError` when it is none. */
export async function openUpload(path: string, name: string): Promise<Upload> {
  if (/\p{Cc}/u.test(name))
    throw new CommandError(`the name ${JSON.stringify(name)} has control characters: rename it`);
  const found = await stat(path).catch((cause: unknown) => {
    throw new CommandError(`${path} ${whyUnreadable(cause)}`, { cause });
  });
  if (found.isDirectory()) {
    throw new CommandError(
      `${path} is a directory: pack it (tar -czf files.tgz ${path}), send that, and unpack it in the script`,
    );
  }
  if (!found.isFile()) throw new CommandError(`${path} is no regular file`);
  return { name, bytes: found.size, content: Bun.file(path) };
}

/** What comes on stdin, as a file. */
export async function uploadFromStdin(name: string): Promise<Upload> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of Bun.stdin.stream()) {
    bytes += chunk.byteLength;
    if (bytes > stdinBytesMax) throw new CommandError(`stdin has more than ${stdinBytesMax} bytes: use a file`);
    chunks.push(chunk);
  }
  return { name, bytes, content: new Blob(chunks) };
}

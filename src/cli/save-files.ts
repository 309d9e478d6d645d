import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { chmod, mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Client, ConnectionError, type FileList } from "../client.ts";
import { CommandError } from "./usage-error.ts";

export type ResultFile = FileList["files"][number];

type Saving = {
  client: Client;
  jobId: string;
  directory: string;
  /** Write over files that are there. */
  force: boolean;
  signal?: AbortSignal;
  onBytes?: (bytes: number) => void;
};

const triesMax = 3;
const triedAgainAfterMs = 1_000;

/** Saves files of a job below a directory, each whole or not at all. Files that are there already stay, and are returned. */
export async function saveFiles(saving: Saving, files: readonly ResultFile[]): Promise<{ kept: string[] }> {
  const kept: string[] = [];
  let bytes = 0;
  const count = (more: number) => {
    bytes += more;
    saving.onBytes?.(bytes);
  };
  for (const file of files) {
    const target = join(saving.directory, ...segmentsOf(file.path));
    if (!saving.force && (await exists(target))) kept.push(file.path);
    else await saveAs(saving, file, target, count);
  }
  return { kept };
}

/** One file under a name of the caller's choice. */
export async function saveAs(
  { client, jobId, signal }: Pick<Saving, "client" | "jobId" | "signal">,
  file: Pick<ResultFile, "path" | "sha256" | "mode">,
  target: string,
  onBytes: (more: number) => void = () => undefined,
): Promise<void> {
  const part = `${target}.part`;
  await mkdir(dirname(target), { recursive: true });
  try {
    const hash = await trying(() => fetchInto({ client, jobId, signal, onBytes }, file.path, part));
    if (file.sha256 !== null && hash !== file.sha256) throw new CommandError(`${file.path} arrived damaged: try again`);
    // Never less than its owner needs to read it and remove it.
    await chmod(part, (file.mode & 0o755) | 0o600);
    await rename(part, target);
  } finally {
    await rm(part, { force: true });
  }
}

type Fetching = { client: Client; jobId: string; signal: AbortSignal | undefined; onBytes: (more: number) => void };

async function fetchInto({ client, jobId, signal, onBytes }: Fetching, path: string, part: string): Promise<string> {
  const response = await client.file(jobId, path, signal === undefined ? {} : { signal });
  const hash = createHash("sha256");
  async function* counted() {
    for await (const chunk of response.body ?? []) {
      hash.update(chunk);
      onBytes(chunk.byteLength);
      yield chunk;
    }
  }
  await pipeline(Readable.from(counted()), createWriteStream(part));
  return hash.digest("hex");
}

async function trying<T>(act: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await act();
    } catch (fault) {
      if (tries >= triesMax || !isOfConnection(fault)) throw fault;
      await Bun.sleep(triedAgainAfterMs * tries);
    }
  }
}

function isOfConnection(fault: unknown): boolean {
  const code = fault instanceof Error && "code" in fault ? String(fault.code) : "";
  return fault instanceof ConnectionError || /^(ECONN|ConnectionClosed)/.test(code);
}

/** The names come from whatever ran: none may lead out of the directory. */
function segmentsOf(path: string): string[] {
  const segments = path.split("/");
  const isStrange = segments.some((name) => ["", ".", ".."].includes(name) || /[\0\\]/.test(name));
  if (isStrange) throw new CommandError(`the job has a file ${JSON.stringify(path)}, which cannot be saved here`);
  return segments;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

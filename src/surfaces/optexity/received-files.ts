import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { createWriteStream } from "node:fs";
import { extract } from "tar-stream";
import { updatePayload } from "../../engine/payloads.ts";
import { EngineError } from "../../errors.ts";
import { receiveMultipart } from "../../files/multipart.ts";
import type { OptexityDeps } from "./deps.ts";

const fieldBytesMax = 65_536;
const fieldsMax = 100;
const segmentPattern = /^(?!\.{1,2}$)[^/\\\0]{1,200}$/;

/** Where the parts of a report go in the payload: the archive is unpacked below `archiveInto`, other files lie below `screenshots/`. */
export type Placing = { archiveInto: string };
export type ReceivedReport = { taskId: string; archived: string[]; screenshots: string[] };

/**
 * Takes a multipart report of a child and puts its files into the payload of its task. `payloadOf` gives the payload of the task that the
 * report names, or throws `EngineError`.
 */
export async function receiveReport(
  deps: OptexityDeps,
  request: Request,
  placing: Placing,
  payloadOf: (taskId: string) => Promise<number>,
): Promise<ReceivedReport> {
  const staging = await deps.files.stage();
  const limits = { bytesMax: deps.filesMaxBytes, filesMax: deps.filesMax, fieldBytesMax, fieldsMax };
  const received = await receiveMultipart(request, staging, limits);
  try {
    await staging.flushes.settled();
    const taskId = received.fields.find(({ name }) => name === "task_id")?.text ?? "";
    const payloadId = await payloadOf(taskId);
    const directory = await deps.files.workDirectory(payloadId);
    const report: ReceivedReport = { taskId, archived: [], screenshots: [] };
    for (const { name } of received.files) {
      const path = join(staging.directory, name);
      if (name.endsWith(".tar.gz"))
        report.archived.push(...(await unpack(deps, path, join(directory, placing.archiveInto))));
      else {
        await mkdir(join(directory, "screenshots"), { recursive: true });
        await rename(path, join(directory, "screenshots", name));
        report.screenshots.push(name);
      }
    }
    await publish(deps, payloadId);
    return report;
  } finally {
    await staging.discard();
  }
}

/** Puts one file into a payload, under a name of ours. */
export async function keepFile(
  deps: OptexityDeps,
  payloadId: number,
  name: string,
  content: Uint8Array,
): Promise<void> {
  await writeFile(join(await deps.files.workDirectory(payloadId), name), content);
  await publish(deps, payloadId);
}

async function publish({ files, engine }: OptexityDeps, payloadId: number): Promise<void> {
  await files.publish(payloadId, {
    isOwned: async () => true,
    record: (manifest) =>
      updatePayload(engine.db.sql, payloadId, {
        files: manifest.files.length,
        bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
        manifestJson: JSON.stringify(manifest),
      }),
  });
  await files.forget(payloadId);
}

/**
 * Unpacks regular files without their first folder, bounded; anything else in the archive is passed over. Each appears in its place
 * when it is whole. Returns their paths.
 */
async function unpack(deps: OptexityDeps, archive: string, into: string): Promise<string[]> {
  const names: string[] = [];
  let bytesLeft = deps.filesMaxBytes;
  const entries = extract();
  const feeding = pipeline(createReadStream(archive), createGunzip(), entries);
  try {
    for await (const entry of entries) {
      const { name, type, size = 0 } = entry.header;
      const segments = name
        .split("/")
        .filter((segment) => segment !== "")
        .slice(1);
      bytesLeft -= size;
      if (bytesLeft < 0 || names.length >= deps.filesMax)
        throw new EngineError("too_large", "The archive holds too much");
      if (type !== "file" || segments.length === 0 || !segments.every((segment) => segmentPattern.test(segment))) {
        entry.resume();
        continue;
      }
      const path = join(into, ...segments);
      const unfinished = join(dirname(archive), randomUUID());
      await pipeline(entry, createWriteStream(unfinished));
      await mkdir(dirname(path), { recursive: true });
      await rename(unfinished, path);
      names.push(segments.join("/"));
    }
    await feeding;
  } catch (fault) {
    await feeding.catch(() => undefined); // The same fault, seen from the other end.
    if (fault instanceof EngineError) throw fault;
    throw new EngineError("invalid", "The archive cannot be read: it must be a .tar.gz", { cause: fault });
  }
  return names;
}

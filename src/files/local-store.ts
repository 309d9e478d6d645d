import { existsSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { describeTree, hashFile, listTree, type Manifest, readManifest } from "./manifest.ts";
import { flushDirectory, moveIn, moveOut } from "./move.ts";
import { payloadName } from "./payload-name.ts";
import { removeTree } from "./remove.ts";
import { createSavedManifests } from "./saved-manifests.ts";
import { createStaging, makeStagingDirectory, type StagedFile } from "./staging.ts";
import type { FileStore } from "./store.ts";
import { openStoredFile } from "./stored-file.ts";
import { sweepOld } from "./sweep.ts";
import { zipStream } from "./zip-out.ts";

export type LocalStoreOptions = {
  dataDir: string;
  /** An empty directory below `readyDirOf`, closed to others, for an upload that is to be run soon; null when there is none. */
  takeDirectory?(): string | null;
};

/** Where directories wait for uploads that something else has prepared itself for. */
export function readyDirOf(dataDir: string): string {
  return join(dataDir, "ready");
}

/** Payloads in `<dataDir>/payloads/<id>`, filled in `<dataDir>/staging` or `<dataDir>/ready` and emptied in `<dataDir>/trash`. */
export function createLocalStore(options: LocalStoreOptions): FileStore {
  const staging = join(options.dataDir, "staging");
  const payloads = join(options.dataDir, "payloads");
  const trash = join(options.dataDir, "trash");
  const saved = createSavedManifests(join(options.dataDir, "manifests"));
  const directoryOf = (payloadId: number) => join(payloads, payloadName(payloadId));
  const present = (payloadId: number) => {
    const directory = directoryOf(payloadId);
    if (!existsSync(directory)) throw new EngineError("not_found", `Payload ${payloadId} has no files here`);
    return directory;
  };
  const remove = async (payloadId: number) => {
    await saved.forget(payloadId);
    await removeTree(await moveOut(directoryOf(payloadId), trash));
  };
  return {
    kind: "local",
    location: (payloadId) => `payloads/${payloadName(payloadId)}`,
    async stage(how) {
      const given = how?.isSoonRun ? options.takeDirectory?.() : null;
      return createStaging(given ?? makeStagingDirectory(staging), removeTree);
    },
    async commit(staged, payloadId, known = []) {
      const directory = directoryOf(payloadId);
      await moveIn(staged.directory, directory);
      const describe = async () => {
        const manifest = await describeStaged(directory, known);
        await saved.write(payloadId, manifest);
        return manifest;
      };
      // Together, since the file system's journal is written once for what is under way at once.
      const toDisk = [staged.flushes.settled(), flushDirectory(directory), flushDirectory(payloads)];
      const parts = [describe(), ...toDisk] as const;
      await Promise.allSettled(parts);
      try {
        return (await Promise.all(parts))[0];
      } catch (fault) {
        await remove(payloadId);
        throw fault;
      }
    },
    async workDirectory(payloadId) {
      const directory = present(payloadId);
      await saved.forget(payloadId);
      return directory;
    },
    runDirectory(payloadId) {
      return existsSync(directoryOf(payloadId)) ? directoryOf(payloadId) : null;
    },
    async publish(payloadId, { record }) {
      const manifest = await readManifest(present(payloadId));
      const parts = [record(manifest), saved.draft(payloadId, manifest)] as const;
      const [recorded, draft] = await Promise.allSettled(parts);
      const isRecorded = recorded.status === "fulfilled" && recorded.value;
      if (draft.status === "fulfilled") await (isRecorded ? draft.value.keep() : draft.value.drop());
      await Promise.all(parts);
      return isRecorded;
    },
    async forget() {
      // The only copy stays, with whatever the run did to it.
    },
    async list(payloadId) {
      const directory = present(payloadId);
      return (await saved.read(payloadId)) ?? (await listTree(directory));
    },
    async open(payloadId, path) {
      return await openStoredFile(present(payloadId), path, payloadId);
    },
    async zip(payloadId) {
      return zipStream(present(payloadId));
    },
    remove,
    async sweepStaging(olderThanMs) {
      let swept = 0;
      for (const parent of [staging, readyDirOf(options.dataDir), trash])
        swept += await sweepOld(parent, { olderThanMs });
      return swept;
    },
  };
}

/** Describes a directory that came in with the hashes that are known already. */
async function describeStaged(directory: string, known: readonly StagedFile[]): Promise<Manifest> {
  const hashes = new Map(known.map((file) => [file.name, file]));
  return await describeTree(directory, {
    take: async (file) => {
      const staged = hashes.get(file.path);
      return staged?.bytes === file.stat.size ? staged.sha256 : await hashFile(file);
    },
  });
}

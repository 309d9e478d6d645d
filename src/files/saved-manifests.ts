import { mkdirSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./descriptor.ts";
import type { Manifest } from "./manifest.ts";

/** Manifests kept beside the payloads, out of reach of the code that runs in them. */
export type SavedManifests = {
  read(payloadId: number): Promise<Manifest | null>;
  write(payloadId: number, manifest: Manifest): Promise<void>;
  forget(payloadId: number): Promise<void>;
};

export function createSavedManifests(directory: string): SavedManifests {
  const pathOf = (payloadId: number) => join(directory, `${payloadId}.json`);
  return {
    async read(payloadId) {
      try {
        return JSON.parse(await readFile(pathOf(payloadId), "utf8")) as Manifest;
      } catch (fault) {
        // Not there, or cut short by a crash: it can be made again.
        if (codeOf(fault) === "ENOENT" || fault instanceof SyntaxError) return null;
        throw fault;
      }
    },
    async write(payloadId, manifest) {
      mkdirSync(directory, { recursive: true });
      const fresh = `${pathOf(payloadId)}.${crypto.randomUUID()}`;
      await writeFile(fresh, JSON.stringify(manifest));
      await rename(fresh, pathOf(payloadId));
    },
    async forget(payloadId) {
      await rm(pathOf(payloadId), { force: true });
    },
  };
}

import { mkdirSync } from "node:fs";
import { readFile, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./descriptor.ts";
import type { Manifest } from "./manifest.ts";

/** Manifests kept beside the payloads, out of reach of the code that runs in them. */
export type SavedManifests = {
  read(payloadId: number): Promise<Manifest | null>;
  write(payloadId: number, manifest: Manifest): Promise<void>;
  /** Writes it beside its place. Nobody reads it before `keep`. */
  draft(payloadId: number, manifest: Manifest): Promise<{ keep(): Promise<void>; drop(): Promise<void> }>;
  forget(payloadId: number): Promise<void>;
};

export function createSavedManifests(directory: string): SavedManifests {
  const pathOf = (payloadId: number) => join(directory, `${payloadId}.json`);
  const draft = async (payloadId: number, manifest: Manifest) => {
    const fresh = `${pathOf(payloadId)}.${crypto.randomUUID()}`;
    mkdirSync(directory, { recursive: true });
    await writeFile(fresh, JSON.stringify(manifest));
    return { keep: () => rename(fresh, pathOf(payloadId)), drop: () => remove(fresh) };
  };
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
      await (await draft(payloadId, manifest)).keep();
    },
    draft,
    async forget(payloadId) {
      await remove(pathOf(payloadId));
    },
  };
}

/** Not `rm`, which looks at it first. */
async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (fault) {
    if (codeOf(fault) !== "ENOENT") throw fault;
  }
}

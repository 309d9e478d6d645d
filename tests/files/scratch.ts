import { mkdtempSync, readdirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTree } from "../../src/files/remove.ts";
import type { Manifest } from "../../src/files/manifest.ts";
import type { FileStore } from "../../src/files/store.ts";
import { createStaging, makeStagingDirectory, type Staging } from "../../src/files/staging.ts";
import { whenFileEnds } from "../support/ending.ts";

/** A directory of its own, gone when the test file ends. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-files-"));
  whenFileEnds(async () => {
    await removeTree(directory);
  });
  return directory;
}

export function stagingIn(parent: string): Staging {
  return createStaging(makeStagingDirectory(parent), removeTree);
}

/** What this process holds open below a directory. */
export function openBelow(directory: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(directory) ? [target] : [];
    } catch {
      // The descriptor that listed the directory is gone by now.
      return [];
    }
  });
}

/** A body that arrives in steps of `step` bytes. */
export function bodyOf(content: string | Uint8Array, step = 65_536): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : Uint8Array.from(content);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + step));
      at += step;
    },
  });
}

export async function bytesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Publishes what a run left that still has its task. */
export async function published(store: FileStore, payloadId: number): Promise<Manifest> {
  const recorded: Manifest[] = [];
  const record = async (manifest: Manifest) => recorded.push(manifest) > 0;
  await store.publish(payloadId, { isOwned: async () => true, record });
  const [manifest] = recorded;
  if (manifest === undefined) throw new Error(`payload ${payloadId} was not published`);
  return manifest;
}

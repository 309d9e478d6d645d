import type { Sql } from "../db/client.ts";
import type { Claimed } from "../engine/claimed.ts";
import { ownsTask, readPayload, updatePayload } from "../engine/payloads.ts";
import { EngineError } from "../errors.ts";
import type { Manifest } from "../files/manifest.ts";
import type { FileStore } from "../files/store.ts";
import type { Log } from "../log.ts";
import type { RunFiles } from "./run-task.ts";

export type PayloadFilesOptions = { sql: Sql; files: FileStore; nodeId: string; log: Log; patience?: Patience };

/** How long a run waits for an object store, or a disk, that is away for the moment. */
export type Patience = { beforeMs: number; afterMs: number; everyMs: number };

/** What has been computed is worth a longer wait than what can be begun elsewhere. */
const usualPatience: Patience = { beforeMs: 60_000, afterMs: 1_800_000, everyMs: 2_000 };

/** Runs work in their payload's directory; what they leave there is described in its row before their end is recorded. */
export function payloadFiles({ sql, files, nodeId, log, patience = usualPatience }: PayloadFilesOptions): RunFiles {
  /** Which run has a payload's directory on this node. */
  const holders = new Map<number, string>();
  const patiently = <T>(task: Claimed, withinMs: number, act: () => Promise<T>) =>
    whileAway(act, {
      withinMs,
      everyMs: patience.everyMs,
      onFault: (fault) => log.warn("the files of a run have to wait", { job: task.jobId, fault }),
    });
  return {
    async before(task) {
      const { payloadId, runId } = task;
      if (payloadId === null) return null;
      const directory = await patiently(task, patience.beforeMs, () => files.workDirectory(payloadId)).catch(
        async (fault: unknown) => {
          throw await whereTheyAre(sql, { payloadId, nodeId, kind: files.kind }, fault);
        },
      );
      holders.set(payloadId, runId);
      return directory;
    },
    async after(task) {
      const { payloadId, runId } = task;
      // One that did not get its directory has left nothing in it.
      if (payloadId === null || holders.get(payloadId) !== runId) return;
      await patiently(task, patience.afterMs, async () => {
        const claim = {
          isOwned: () => ownsTask(sql, task),
          record: (manifest: Manifest) => updatePayload(sql, payloadId, describing(manifest), runId),
        };
        const isPublished = await files.publish(payloadId, claim).catch(async (fault: unknown) => {
          // Whoever decided about its task may have removed its files.
          if (await claim.isOwned()) throw fault;
          return false;
        });
        if (!isPublished) await removeIfGone(sql, files, payloadId);
      });
      // By now another run of the task may have it, on this very node.
      if (holders.get(payloadId) !== runId) return;
      holders.delete(payloadId);
      await files.forget(payloadId);
    },
  };
}

function describing(manifest: Manifest): { files: number; bytes: number; manifestJson: string } {
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  return { files: manifest.files.length, bytes, manifestJson: JSON.stringify(manifest) };
}

/** What a run published that was decided about long ago must not outlive its payload. */
async function removeIfGone(sql: Sql, files: FileStore, payloadId: number): Promise<void> {
  const payload = await readPayload(sql, payloadId);
  if (payload === null || payload.cleaned) await files.remove(payloadId);
}

type Waiting = { withinMs: number; everyMs: number; onFault(fault: EngineError): void };

/** Tries again while it is refused as `unavailable`. */
async function whileAway<T>(act: () => Promise<T>, { withinMs, everyMs, onFault }: Waiting): Promise<T> {
  for (const until = performance.now() + withinMs; ; await Bun.sleep(everyMs)) {
    try {
      return await act();
    } catch (fault) {
      const isAway = fault instanceof EngineError && fault.code === "unavailable";
      if (!isAway || performance.now() > until) throw fault;
      onFault(fault);
    }
  }
}

/** Files that are not on this disk may be on another node's, which is worth saying. */
async function whereTheyAre(
  sql: Sql,
  { payloadId, nodeId, kind }: { payloadId: number; nodeId: string; kind: FileStore["kind"] },
  fault: unknown,
): Promise<unknown> {
  if (kind !== "local" || !(fault instanceof EngineError && fault.code === "not_found")) return fault;
  const payload = await readPayload(sql, payloadId);
  if (payload?.nodeId == null || payload.nodeId === nodeId || payload.cleaned) return fault;
  const message = `Its files are on node ${payload.nodeId}, and this is ${nodeId}: set S3_BUCKET so that every node has them`;
  return new EngineError("not_found", message, { cause: fault });
}

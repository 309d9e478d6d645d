import { EngineError } from "../errors.ts";
import type { FileStore } from "./store.ts";

/** A payload by its id, and the node that took it in. */
export type PlacedPayload = { id: number; nodeId: string | null };

/**
 * Reads files of a payload. Those that are not on this disk may be on another node's, which is worth saying: then `unavailable`
 * is thrown, with that node's name, instead of `not_found`.
 */
export async function onThisNode<T>(
  { files, nodeId }: { files: FileStore; nodeId: string },
  payload: PlacedPayload,
  read: (payloadId: number) => Promise<T>,
): Promise<T> {
  try {
    return await read(payload.id);
  } catch (fault) {
    const isAway = fault instanceof EngineError && fault.code === "not_found" && files.kind === "local";
    const isElsewhere = payload.nodeId !== null && payload.nodeId !== nodeId;
    if (!isAway || !isElsewhere || (await isHere(files, payload.id))) throw fault;
    const detail = `These files are on node ${payload.nodeId}: ask there, or set S3_BUCKET so that every node can serve them`;
    throw new EngineError("unavailable", detail, { cause: fault });
  }
}

/** Whether the payload itself is here, so that it was a file in it that is not. */
async function isHere(files: FileStore, payloadId: number): Promise<boolean> {
  return files.list(payloadId).then(
    () => true,
    () => false,
  );
}

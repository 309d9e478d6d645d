import { isConnectionFault } from "../../db/client.ts";
import { beginReservation, type Reservation } from "../../engine/uploads.ts";
import type { Engine } from "../../engine/context.ts";
import type { Submitter } from "../../engine/submit.ts";
import { isShortUpload, receiveMultipart } from "../../files/multipart.ts";
import type { StagedFile, Staging } from "../../files/staging.ts";
import type { FileStore } from "../../files/store.ts";
import { EngineError } from "../../errors.ts";
import { traceOf } from "../../http/trace-context.ts";

export type OrchestratorDeps = {
  engine: Engine;
  submitter: Submitter;
  files: FileStore;
  bytesMax: number;
  filesMax: number;
  /** How long a script may take. */
  wallMs: number;
};

const fieldBytesMax = 65_536;
const fieldsMax = 1_000;

/**
 * Takes an upload and makes it a payload with its job. The files are in place when the rows are committed; an upload that breaks leaves neither.
 * Throws `EngineError`.
 */
export async function acceptUpload(
  deps: OrchestratorDeps,
  request: Request,
  client: string,
): Promise<{ payloadId: number; jobId: string }> {
  if (deps.engine.view.draining)
    throw new EngineError("draining", "This node is shutting down", { retryAfterSeconds: 5 });
  const { payloadId, manifest } = await place(deps, await receive(deps, request));
  try {
    const { id } = await deps.submitter.submit({
      surface: "orchestrator",
      client,
      priority: 1,
      inputJson: "{}",
      tasks: [{ runner: "script", target: "run.sh", timeoutMs: deps.wallMs, maxAttempts: 1, backoffS: 1 }],
      payload: {
        id: payloadId,
        files: manifest.files.length,
        bytes: manifest.bytes,
        manifestJson: JSON.stringify(manifest),
      },
      ...traceOf(request.headers),
    });
    return { payloadId, jobId: id };
  } catch (fault) {
    // The commit may have been done though its answer was lost: then the files are a job's.
    if (!isConnectionFault(fault)) await deps.files.remove(payloadId);
    throw fault;
  }
}

type Came = { staging: Staging; files: readonly StagedFile[]; reservation: Reservation };

async function receive({ engine, files, bytesMax, filesMax }: OrchestratorDeps, request: Request): Promise<Came> {
  const isShort = isShortUpload(request.headers);
  const early = isShort ? beginReservation(engine) : null;
  try {
    const staging = await files.stage({ isSoonRun: isShort });
    const received = await receiveMultipart(request, staging, { bytesMax, filesMax, fieldBytesMax, fieldsMax });
    return { staging, files: received.files, reservation: early ?? beginReservation(engine) };
  } catch (fault) {
    await early?.giveUp();
    throw fault;
  }
}

async function place(deps: OrchestratorDeps, { staging, files, reservation }: Came) {
  try {
    const payloadId = await reservation.id();
    return { payloadId, manifest: await deps.files.commit(staging, payloadId, files) };
  } catch (fault) {
    await staging.discard();
    throw fault;
  }
}

import { beginReservation, type Reservation } from "../../engine/uploads.ts";
import { EngineError } from "../../errors.ts";
import { isShortUpload, receiveMultipart } from "../../files/multipart.ts";
import type { StagedFile, Staging } from "../../files/staging.ts";
import { readJson } from "../../http/body.ts";
import { parseJson } from "../../http/json.ts";
import { invalid } from "./check-body.ts";
import type { ApiDeps } from "./deps.ts";

/**
 * A submission as it came. `staging` holds its files, until they are stored or discarded; `reservation` is of the payload that
 * they will be.
 */
export type Incoming = {
  body: unknown;
  files: readonly StagedFile[];
  staging: Staging | null;
  reservation: Reservation | null;
};

type Deps = Pick<ApiDeps, "engine" | "files" | "settings">;

const jobPart = "job";
const fieldsMax = 8;
const depthMax = 200;

/**
 * Reads a submission: JSON, or a form whose parts with a filename are files and whose part `job` is the JSON. Throws `EngineError`, and has
 * then kept nothing.
 */
export async function readIncoming(deps: Deps, request: Request): Promise<Incoming> {
  const type = request.headers.get("content-type") ?? "";
  if (/^multipart\/form-data *(;|$)/i.test(type)) return readForm(deps, request);
  const body = await readJson(request, { maxBytes: deps.settings.bodyMaxBytes, mustBeJsonType: true });
  return { body, files: [], staging: null, reservation: null };
}

/** Throws away what came with a submission that is refused, or needs none of it. */
export async function discard({ staging, reservation }: Pick<Incoming, "staging" | "reservation">): Promise<void> {
  await Promise.all([staging?.discard(), reservation?.giveUp()]);
}

async function readForm({ engine, files, settings }: Deps, request: Request): Promise<Incoming> {
  const isShort = isShortUpload(request.headers);
  const reservation = isShort ? beginReservation(engine) : null;
  const limits = { ...settings.upload, fieldBytesMax: settings.bodyMaxBytes, fieldsMax };
  let staging: Staging | null = null;
  try {
    staging = await files.stage({ isSoonRun: isShort });
    const received = await receiveMultipart(request, staging, limits);
    return { body: bodyIn(received.fields), files: received.files, staging, reservation };
  } catch (fault) {
    await discard({ staging, reservation });
    throw fault;
  }
}

function bodyIn(fields: readonly { name: string; text: string }[]): unknown {
  const strange = fields.find(({ name }) => name !== jobPart);
  if (strange !== undefined) {
    const detail = `has a part ${JSON.stringify(strange.name.slice(0, 100))} that is neither "${jobPart}" nor a file with a filename`;
    throw invalid("The form", [{ pointer: "", detail }]);
  }
  const [job, another] = fields;
  if (another !== undefined) throw new EngineError("invalid", `The form has more than one part "${jobPart}"`);
  return job === undefined ? {} : parseJson(new TextEncoder().encode(job.text), depthMax);
}

import { EngineError } from "../../errors.ts";
import { receiveMultipart } from "../../files/multipart.ts";
import type { StagedFile, Staging } from "../../files/staging.ts";
import { readJson } from "../../http/body.ts";
import { parseJson } from "../../http/json.ts";
import { invalid } from "./check-body.ts";
import type { ApiDeps } from "./deps.ts";

/** A submission as it came. `staging` holds its files, until they are stored or discarded. */
export type Incoming = { body: unknown; files: readonly StagedFile[]; staging: Staging | null };

type Deps = Pick<ApiDeps, "files" | "settings">;

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
  return { body, files: [], staging: null };
}

async function readForm({ files, settings }: Deps, request: Request): Promise<Incoming> {
  const staging = await files.stage();
  const limits = { ...settings.upload, fieldBytesMax: settings.bodyMaxBytes, fieldsMax };
  const received = await receiveMultipart(request, staging, limits);
  try {
    return { body: bodyIn(received.fields), files: received.files, staging };
  } catch (fault) {
    await staging.discard();
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

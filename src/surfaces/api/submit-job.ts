import { beginReservation, beginReservations } from "../../engine/uploads.ts";
import type { Receipt, Submission } from "../../engine/submission.ts";
import { EngineError } from "../../errors.ts";
import { atOnce } from "../../files/at-once.ts";
import { type StagedFile, stageFile, type Staging } from "../../files/staging.ts";
import type { ApiDeps } from "./deps.ts";
import type { Draft } from "./draft.ts";
import { discard, type Incoming } from "./incoming.ts";

type Deps = Pick<ApiDeps, "engine" | "submitter" | "files">;
type Payload = NonNullable<Submission["payload"]>;
type Came = Pick<Incoming, "files" | "staging" | "reservation">;
/** Their flushes share writes of the file system's journal. */
const storedAtOnce = 16;
/** A submission with its files in place. */
export type Stored = Submission & { id: string };

/** Stores the files of a draft and submits it. When it turns out to be known already, or is refused, its files are removed again. */
export async function submitDraft(
  deps: Deps,
  draft: Draft,
  incoming: Came,
): Promise<{ submission: Stored; receipt: Receipt }> {
  const submission = await storeDraft(deps, draft, incoming);
  try {
    const receipt = await deps.submitter.submit(submission);
    if (receipt.existing) await removeFiles(deps, submission);
    return { submission, receipt };
  } catch (fault) {
    if (isRefusal(fault)) await removeFiles(deps, submission);
    throw fault;
  }
}

/** Submits all of them in one transaction, or none. */
export async function submitDraftsTogether(
  deps: Deps,
  drafts: readonly Draft[],
): Promise<{ submission: Stored; receipt: Receipt }[]> {
  const stored: Stored[] = [];
  const reservations = beginReservations(deps.engine, drafts.filter(({ needsFiles }) => needsFiles).length);
  const act = async ([at, draft]: [number, Draft]) => {
    const reservation = draft.needsFiles ? (reservations.shift() ?? null) : null;
    stored[at] = await storeDraft(deps, draft, { files: [], staging: null, reservation });
  };
  try {
    await atOnce(drafts.entries(), { max: storedAtOnce, act });
    const receipts = await deps.submitter.submitTogether(stored);
    return receipts.flatMap((receipt, at) => {
      const submission = stored[at];
      return submission === undefined ? [] : [{ submission, receipt }];
    });
  } catch (fault) {
    // Those that were not stored are not among the values.
    if (isRefusal(fault)) for (const submission of Object.values(stored)) await removeFiles(deps, submission);
    await Promise.all(reservations.map((reservation) => reservation.giveUp()));
    throw fault;
  }
}

/** Whether the job is surely not there. While the database is away that is open, and files that a job may have stay. */
function isRefusal(fault: unknown): boolean {
  return fault instanceof EngineError && fault.code !== "unavailable";
}

async function storeDraft(deps: Deps, draft: Draft, incoming: Came): Promise<Stored> {
  const { submission } = draft;
  if (draft.needsFiles) return { ...submission, payload: await storeFiles(deps, draft, incoming) };
  await discard(incoming);
  return submission;
}

/** Automations get a payload without files too: it is where their downloads go. */
async function storeFiles({ engine, files }: Deps, { script }: Draft, incoming: Came): Promise<Payload> {
  const staging = incoming.staging ?? (await files.stage({ isSoonRun: script !== null }));
  const reservation = incoming.reservation ?? beginReservation(engine);
  const written = await stageScript(staging, script).catch(async (fault: unknown) => {
    await discard({ staging, reservation });
    throw fault;
  });
  try {
    const id = await reservation.id();
    const manifest = await files.commit(staging, id, [...incoming.files, ...written]);
    return { id, files: manifest.files.length, bytes: manifest.bytes, manifestJson: JSON.stringify(manifest) };
  } catch (fault) {
    await staging.discard();
    throw fault;
  }
}

async function stageScript(staging: Staging, script: string | null): Promise<StagedFile[]> {
  return script === null ? [] : [await stageFile(staging, "run.sh", script)];
}

async function removeFiles({ files }: Deps, { payload }: Stored): Promise<void> {
  if (payload !== undefined) await files.remove(payload.id);
}

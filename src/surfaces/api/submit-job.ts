import { isConnectionFault } from "../../db/client.ts";
import type { Receipt, Submission } from "../../engine/submission.ts";
import { reservePayloadId } from "../../engine/payloads.ts";
import { stageFile } from "../../files/staging.ts";
import type { ApiDeps } from "./deps.ts";
import type { Draft } from "./draft.ts";
import type { Incoming } from "./incoming.ts";

type Deps = Pick<ApiDeps, "engine" | "submitter" | "files">;
type Payload = NonNullable<Submission["payload"]>;
type Stored = { submission: Submission & { id: string }; payload: Payload | null };

/** Stores the files of a draft and submits it. When it turns out to be known already, or is refused, its files are removed again. */
export async function submitDraft(
  deps: Deps,
  draft: Draft,
  incoming: Pick<Incoming, "files" | "staging">,
): Promise<Receipt> {
  const stored = await storeDraft(deps, draft, incoming);
  try {
    const receipt = await deps.submitter.submit(stored.submission);
    if (receipt.existing) await removeFiles(deps, stored);
    return receipt;
  } catch (fault) {
    // A lost connection leaves open whether the job is there: its files stay, and are swept if it is not.
    if (!isConnectionFault(fault)) await removeFiles(deps, stored);
    throw fault;
  }
}

/** Submits all of them in one transaction, or none. */
export async function submitDraftsTogether(deps: Deps, drafts: readonly Draft[]): Promise<Receipt[]> {
  const stored: Stored[] = [];
  try {
    for (const draft of drafts) stored.push(await storeDraft(deps, draft, { files: [], staging: null }));
    return await deps.submitter.submitTogether(stored.map(({ submission }) => submission));
  } catch (fault) {
    if (!isConnectionFault(fault)) for (const one of stored) await removeFiles(deps, one);
    throw fault;
  }
}

async function storeDraft(deps: Deps, draft: Draft, incoming: Pick<Incoming, "files" | "staging">): Promise<Stored> {
  const { submission } = draft;
  if (!draft.needsFiles) return { submission, payload: null };
  const payload = await storeFiles(deps, draft, incoming);
  return { submission: { ...submission, payload }, payload };
}

/** Automations get a payload without files too: it is where their downloads go. */
async function storeFiles(
  { engine, files }: Deps,
  { script }: Draft,
  incoming: Pick<Incoming, "files" | "staging">,
): Promise<Payload> {
  const staging = incoming.staging ?? (await files.stage());
  try {
    const written = script === null ? [] : [await stageFile(staging, "run.sh", script)];
    const id = await reservePayloadId(engine.db.sql);
    const manifest = await files.commit(staging, id, [...incoming.files, ...written]);
    return { id, files: manifest.files.length, bytes: manifest.bytes, manifestJson: JSON.stringify(manifest) };
  } catch (fault) {
    await staging.discard();
    throw fault;
  }
}

async function removeFiles({ files }: Deps, { payload }: Stored): Promise<void> {
  if (payload !== null) await files.remove(payload.id);
}

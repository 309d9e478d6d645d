import { type Client, ConnectionError, type Job, type Submit } from "../client.ts";
import { readJson } from "../client/send.ts";
import { findJob } from "./find-job.ts";
import { jobUpload } from "./job-upload.ts";
import { createProgressBar } from "./progress-bar.ts";
import type { Terminal } from "./terminal.ts";
import type { Upload } from "./upload-files.ts";

type Place = { client: Client; terminal: Terminal; signal?: AbortSignal };
export type Submitted = { job: Job; hashes: ReadonlyMap<string, string> };

/** Uploads of more than this are announced by a small call, so that a wrong key is not found out at their end. */
const announceBytes = 1_048_576;

/** Submits a job with its files, with a progress bar where somebody watches. `hashes` are those of the files as they were sent. */
export async function submitUpload(
  { client, terminal, signal }: Place,
  job: Submit & { id: string },
  files: readonly Upload[],
): Promise<Submitted> {
  const stop = signal === undefined ? {} : { signal };
  const upload = jobUpload(job, files, (sent) => draw(sent));
  const draw = createProgressBar(terminal, "Uploading", upload.bytes);
  if (upload.bytes > announceBytes) await client.send("/api/v1/jobs?limit=1", stop);
  try {
    const { headers, body, hashes } = upload;
    return {
      job: await readJson(await client.send("/api/v1/jobs", { method: "POST", headers, body, ...stop })),
      hashes,
    };
  } catch (fault) {
    if (!(fault instanceof ConnectionError)) throw fault;
    // The answer may have been lost after the commit: the id, which was chosen here, tells.
    const found = await findJob(client, job.id);
    if (found === null) throw fault;
    return { job: found, hashes: upload.hashes };
  } finally {
    draw(null);
  }
}

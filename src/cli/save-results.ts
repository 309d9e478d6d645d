import { mkdir } from "node:fs/promises";
import type { Client, Job } from "../client.ts";
import { createProgressBar } from "./progress-bar.ts";
import { saveFiles } from "./save-files.ts";
import { plain, shownBytes } from "./shown.ts";
import type { Terminal } from "./terminal.ts";

type Place = {
  client: Client;
  terminal: Terminal;
  signal: AbortSignal;
  flags: { readonly output?: string; readonly force?: boolean };
};

const namesShownMax = 10;
const idTailChars = 8;

/** Saves what the job made or changed; `sent` are the SHA-256 of the files as they were. False when something was not saved. */
export async function saveResults(
  { client, terminal, signal, flags }: Place,
  job: Job,
  sent: ReadonlyMap<string, string>,
): Promise<boolean> {
  if (job.payload === null || job.payload.cleaned) return true;
  const { files } = await client.files(job.id);
  const results = files.filter(({ path, sha256 }) => sha256 === null || sent.get(path) !== sha256);
  if (results.length === 0) return true;
  const bytes = results.reduce((sum, file) => sum + file.bytes, 0);
  const directory = flags.output ?? `fairlead-${job.id.slice(-idTailChars)}`;
  await mkdir(directory, { recursive: true });
  const draw = createProgressBar(terminal, "Downloading", bytes);
  const saving = { client, jobId: job.id, directory, force: flags.force === true, signal, onBytes: draw };
  const { kept } = await saveFiles(saving, results).finally(() => draw(null));
  const saved = results.filter(({ path }) => !kept.includes(path)).map(({ path }) => path);
  if (saved.length > 0) terminal.say(`${directory}/: ${shownNames(saved)} (${shownBytes(bytes)})`);
  for (const path of kept) terminal.say(`${directory}/${plain(path)} is there already and was left alone`);
  if (kept.length > 0) terminal.say(`Save it elsewhere with: fairlead files ${job.id} -o DIR, or use --force`);
  return kept.length === 0;
}

function shownNames(names: readonly string[]): string {
  const shown = names.slice(0, namesShownMax).map(plain).join(", ");
  return names.length > namesShownMax ? `${shown} and ${names.length - namesShownMax} more` : shown;
}

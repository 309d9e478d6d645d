import { existsSync } from "node:fs";
import type { Job, Submit } from "../client.ts";
import { type Call, defineCommand } from "./command.ts";
import { detach } from "./detach.ts";
import { textPrinter } from "./event-printer.ts";
import { exitCodeOf } from "./exit-code.ts";
import { faultText } from "./fault-text.ts";
import { Interrupted, type Interrupts, watchInterrupts } from "./interrupts.ts";
import { jobFlags, jobFromFlags } from "./job-flags.ts";
import { endOf } from "./job-words.ts";
import { printJson } from "./print-json.ts";
import { tellReconnect } from "./reconnect-line.ts";
import { saveResults } from "./save-results.ts";
import { submitUpload } from "./submit-upload.ts";
import { findUploads, openUpload, type Upload, uploadFromStdin } from "./upload-files.ts";
import { CommandError } from "./usage-error.ts";

const scriptName = "run.sh";

const flags = {
  output: { value: "DIR", short: "o", help: "where the results go; fairlead-<id> unless said" },
  force: { help: "write over files that are there" },
  detach: { short: "d", help: "print the id of the job, and leave it to itself" },
  ...jobFlags,
} as const;

export const run = defineCommand({
  name: "run",
  summary: "run a script with files, and bring the results home",
  usage: "<script> [file…] [flags]",
  examples: [
    { line: "fairlead run ./run.sh in.pdb", does: "sends both, shows the output live, saves what the script made" },
    {
      line: "fairlead run ./fit.sh *.csv -o results --timeout 2h",
      does: "with more files, and results in a directory",
    },
    { line: "echo 'date > now.txt' | fairlead run - -o .", does: "a script from stdin, results in this directory" },
    { line: "id=$(fairlead run ./run.sh in.pdb --detach)", does: "start it and come back later: fairlead logs $id -f" },
  ],
  words: { min: 1, max: 10_000 },
  flags,
  notes: [
    "The script runs as `bash run.sh` in a directory with the files, isolated and without network unless --network is given. Lines such as `::progress 0.4 fitting` become progress.",
    "Its output goes to stdout, everything else to stderr. Files that the script made or changed are saved; those that it left as they were are not.",
    "Ctrl-C leaves the job running and says how to come back; a second Ctrl-C within two seconds cancels it. A lost connection is taken up again where it broke.",
    "With --json the job is printed on stdout at its end, and its output goes to stderr.",
  ],
  where: "service",
  async run(call) {
    const [script = "", ...paths] = call.words;
    const wanted = { id: Bun.randomUUIDv7(), ...jobFromFlags(call.flags) };
    const uploads = [await scriptAt(script), ...(await findUploads(paths, new Map([[scriptName, script]])))];
    const interrupts = watchInterrupts(call.tools.onInterrupt);
    try {
      return await carryOut({ ...call, interrupts }, wanted, uploads);
    } finally {
      interrupts.close();
    }
  },
});

type RunCall = Call<typeof flags> & { interrupts: Interrupts };

async function carryOut(call: RunCall, wanted: Submit & { id: string }, uploads: Upload[]): Promise<number> {
  const { client, terminal, interrupts, json } = call;
  try {
    const { job, hashes } = await submitUpload({ client, terminal, signal: interrupts.first }, wanted, uploads);
    if (call.flags.detach === true) return await leave(call, job);
    terminal.say(terminal.talk.dim(`job ${job.id}`));
    const ended = await follow(call, job.id);
    terminal.say(endOf(ended));
    const isSaved = await save(call, ended, hashes);
    if (json) await printJson(terminal, ended);
    return exitCodeOf(ended) || (isSaved ? 0 : 1);
  } catch (fault) {
    if (fault instanceof Interrupted) return detach(call, wanted.id, interrupts);
    throw fault;
  }
}

async function leave({ terminal, json }: RunCall, job: Job): Promise<number> {
  if (json) return printJson(terminal, job);
  await terminal.out(`${job.id}\n`);
  terminal.say(`Follow it with: fairlead logs ${job.id} --follow`);
  return 0;
}

async function follow({ client, terminal, interrupts, json }: RunCall, id: string): Promise<Job> {
  const watch = { signal: interrupts.first, onReconnect: tellReconnect(terminal) };
  const print = textPrinter(terminal, json ? { outputTo: "talk" } : {});
  for await (const event of client.events(id, watch)) await print(event);
  terminal.status(null);
  return client.wait(id, watch);
}

/** What goes wrong here must not hide how the job ended. */
async function save(call: RunCall, job: Job, hashes: ReadonlyMap<string, string>): Promise<boolean> {
  try {
    return await saveResults({ ...call, signal: call.interrupts.first }, job, hashes);
  } catch (fault) {
    const text = faultText(fault);
    if (text === null) throw fault;
    call.terminal.say(`fairlead: the results could not be saved: ${text}`);
    call.terminal.say(`Try again with: fairlead files ${job.id} -o DIR`);
    return false;
  }
}

async function scriptAt(path: string): Promise<Upload> {
  if (path === "-") return uploadFromStdin(scriptName);
  if (existsSync(path)) return openUpload(path, scriptName);
  throw new CommandError(
    `${path} is not there: write what is to be run into it first, for example: echo 'wc -c * > sizes.txt' > ${path}`,
  );
}

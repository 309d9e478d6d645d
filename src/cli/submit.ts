import type { Job, Submit } from "../client.ts";
import { type Call, defineCommand, type Given } from "./command.ts";
import { exitCodeOf } from "./exit-code.ts";
import { readObject } from "./input.ts";
import { jobFlags, jobFromFlags } from "./job-flags.ts";
import { endOf } from "./job-words.ts";
import { printJson } from "./print-json.ts";
import { submitUpload } from "./submit-upload.ts";
import { findUploads, openUpload, type Upload, uploadFromStdin } from "./upload-files.ts";
import { UsageError } from "./usage-error.ts";

const flags = {
  input: { value: "JSON", short: "i", help: "what the work is given: JSON, @file, or - for stdin" },
  script: { value: "FILE", help: "run this script; - for stdin" },
  container: { value: "ID", many: true, help: "run this container; given again, a chain of them" },
  automation: { value: "NAME", help: "run this browser automation" },
  file: { value: "PATH", short: "f", many: true, help: "send this file along; may be given again" },
  job: { value: "JSON", help: "the whole job as the API takes it: JSON, @file, or -" },
  id: { value: "ID", help: "its id; the same job under the same id is taken once" },
  hold: { help: "wait for a release, or for an opteryx submit of that id" },
  wait: { short: "w", help: "until it has ended; prints its result, exits with its code" },
  ...jobFlags,
} as const;

export const submit = defineCommand({
  name: "submit",
  summary: "submit a job of any kind, and print its id",
  usage: "[function] [flags]",
  examples: [
    { line: `fairlead submit hello --input '{"name":"Ada"}' --wait`, does: "a function, with its result on stdout" },
    { line: "fairlead submit --script run.sh --file in.pdb", does: "a script with a file; see also `fairlead run`" },
    {
      line: 'echo \'{"text":"hi"}\' | fairlead submit --container to-uppercase -i -',
      does: "a container, input from stdin",
    },
    { line: "fairlead submit --automation sign-up -i @person.json", does: "a browser automation, input from a file" },
    { line: "fairlead submit --job @job.json", does: "anything that POST /api/v1/jobs takes" },
  ],
  words: { min: 0, max: 1 },
  flags,
  notes: [
    "Accepted means committed: the job outlives a crash of the service. Only the id, or the result, goes to stdout.",
  ],
  where: "service",
  async run(call) {
    const { client, terminal, json, flags: given } = call;
    const submitted = await send(call);
    const job = given.wait === true ? await client.wait(submitted.id) : submitted;
    if (json) await printJson(terminal, job);
    else if (given.wait !== true) await terminal.out(`${job.id}\n`);
    else if (job.status === "succeeded") await printJson(terminal, job.result);
    if (given.wait !== true) return 0;
    terminal.say(`job ${job.id}: ${endOf(job)}`);
    return exitCodeOf(job);
  },
});

type SubmitCall = Call<typeof flags>;

async function send(call: SubmitCall): Promise<Job> {
  const uploads = await uploadsOf(call.flags);
  const job = await jobOf(call);
  if (uploads.length === 0) return call.client.submit(job);
  return (await submitUpload(call, { ...job, id: job.id ?? Bun.randomUUIDv7() }, uploads)).job;
}

/** What flags say wins over the parts of `--job`. */
async function jobOf({ words: [name], flags: given }: SubmitCall): Promise<Submit> {
  const whole = (await readObject(given.job)) as Submit | undefined;
  const input = await readObject(given.input);
  const { container, automation, id, hold } = given;
  const kinds = [name, given.script, container, automation, whole].filter((kind) => kind !== undefined);
  if (kinds.length !== 1) throw new UsageError(kinds.length === 0 ? nothingSaid : "say one thing that is to run");
  return {
    ...whole,
    ...jobFromFlags(given),
    ...(name === undefined ? {} : { function: name }),
    ...(container === undefined ? {} : { containers: container }),
    ...(automation === undefined ? {} : { automation }),
    ...(input === undefined ? {} : { input }),
    ...(id === undefined ? {} : { id }),
    ...(hold === undefined ? {} : { hold }),
  };
}

const nothingSaid =
  "say what is to run: a function by its name, or --script FILE, --container ID, --automation NAME, --job JSON";
const scriptName = "run.sh";

async function uploadsOf({ script, file = [] }: Given<typeof flags>): Promise<Upload[]> {
  if (script === undefined) return findUploads(file);
  const first = script === "-" ? await uploadFromStdin(scriptName) : await openUpload(script, scriptName);
  return [first, ...(await findUploads(file, new Map([[scriptName, script]])))];
}

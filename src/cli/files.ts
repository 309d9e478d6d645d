import { mkdir } from "node:fs/promises";
import { basename } from "node:path";
import type { FileList } from "../client.ts";
import { type Call, defineCommand } from "./command.ts";
import { printJson } from "./print-json.ts";
import { createProgressBar } from "./progress-bar.ts";
import { saveAs, saveFiles } from "./save-files.ts";
import { shownBytes } from "./shown.ts";
import { table } from "./table.ts";
import { CommandError, UsageError } from "./usage-error.ts";

const flags = {
  output: { value: "PATH", short: "o", help: "save there: one file by its name, all of them in a directory" },
  force: { help: "write over files that are there" },
} as const;

export const files = defineCommand({
  name: "files",
  summary: "list the files of a job, show one, or save them",
  usage: "<id> [path] [-o PATH]",
  examples: [
    { line: "fairlead files 0199…", does: "what there is, with sizes and SHA-256" },
    { line: "fairlead files 0199… report.txt", does: "one file on stdout" },
    { line: "fairlead files 0199… -o results", does: "all of them, in the directory results" },
  ],
  words: { min: 1, max: 2 },
  flags,
  notes: ["Every file is compared with its SHA-256 when it has arrived."],
  where: "service",
  async run(call) {
    const [id = "", path] = call.words;
    const { output } = call.flags;
    if (output === "-" && path === undefined) throw new UsageError("say which file goes to stdout");
    if (path !== undefined)
      return output === undefined || output === "-" ? show(call, id, path) : saveOne(call, id, path);
    return output === undefined ? list(call, id) : saveAll(call, id, output);
  },
});

type FilesCall = Call<typeof flags>;

async function list({ client, terminal, json }: FilesCall, id: string): Promise<number> {
  const found = await client.files(id);
  if (json) return printJson(terminal, found);
  const rows = found.files.map(({ path, bytes, media_type, sha256 }) => [
    shownBytes(bytes),
    path,
    media_type,
    sha256 === null ? "" : sha256,
  ]);
  if (rows.length === 0) terminal.say("The job has no files.");
  else await terminal.out(table(terminal, ["SIZE", "PATH", "TYPE", "SHA-256"], rows));
  for (const { path, reason } of found.skipped) terminal.say(`left out: ${path} ${reason}`);
  return 0;
}

async function show({ client, terminal }: FilesCall, id: string, path: string): Promise<number> {
  const { body } = await client.file(id, path);
  for await (const chunk of body ?? []) await terminal.out(chunk);
  return 0;
}

async function saveOne({ client, terminal, flags: given }: FilesCall, id: string, path: string): Promise<number> {
  const file = fileNamed(await client.files(id), path);
  const target = given.output ?? basename(path);
  if (given.force !== true && (await Bun.file(target).exists())) {
    throw new CommandError(`${target} is there already: choose another name, or --force`);
  }
  await saveAs({ client, jobId: id }, file, target);
  terminal.say(`${path}: ${shownBytes(file.bytes)} in ${target}`);
  return 0;
}

async function saveAll({ client, terminal, flags: given }: FilesCall, id: string, directory: string): Promise<number> {
  const found = await client.files(id);
  const draw = createProgressBar(terminal, "Downloading", found.bytes);
  await mkdir(directory, { recursive: true });
  const saving = { client, jobId: id, directory, force: given.force === true, onBytes: draw };
  const { kept } = await saveFiles(saving, found.files).finally(() => draw(null));
  terminal.say(`${found.files.length - kept.length} files in ${directory}`);
  for (const path of kept) terminal.say(`${path} is there already and was left alone: choose another -o, or --force`);
  return kept.length > 0 ? 1 : 0;
}

function fileNamed({ files: found }: FileList, path: string): FileList["files"][number] {
  const file = found.find((one) => one.path === path);
  if (file !== undefined) return file;
  throw new CommandError(`the job has no file ${JSON.stringify(path)}; \`fairlead files <id>\` lists them`);
}

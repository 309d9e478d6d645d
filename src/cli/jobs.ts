import type { Job, JobFilter } from "../client.ts";
import { defineCommand, type Given } from "./command.ts";
import { printJson } from "./print-json.ts";
import { noteOf, tookMs, whatOf } from "./job-words.ts";
import { wholeNumber } from "./numbers.ts";
import { shownDuration } from "./shown.ts";
import { table } from "./table.ts";

const flags = {
  status: { value: "STATUS", help: "queued, running, succeeded, failed, cancelled; several with commas" },
  surface: { value: "NAME", help: "the protocol they came in by" },
  runner: { value: "NAME", help: "function, script, container or automation" },
  client: { value: "WHO", help: "who submitted them, such as key:ops" },
  tag: { value: "TAG", help: "those with this tag" },
  search: { value: "TEXT", short: "s", help: "text in ids, names, inputs, outputs, errors" },
  limit: { value: "N", short: "n", help: "how many, 20 unless said, 200 at most" },
  after: { value: "CURSOR", help: "the next page: what the page before said" },
} as const;

export const jobs = defineCommand({
  name: "jobs",
  summary: "list jobs, newest first",
  usage: "[flags]",
  examples: [
    { line: "fairlead jobs --status failed", does: "what went wrong lately" },
    { line: "fairlead jobs --search in.pdb --json | jq -r '.jobs[].id'", does: "ids of all jobs that mention in.pdb" },
  ],
  words: { min: 0, max: 0 },
  flags,
  notes: [],
  where: "service",
  async run({ flags: given, client, terminal, json }) {
    const page = await client.jobs(filterOf(given));
    if (json) return printJson(terminal, page);
    if (page.jobs.length === 0) terminal.say("There are no such jobs.");
    else await terminal.out(table(terminal, head, page.jobs.map(rowOf)));
    if (page.next !== null) terminal.say(`There are more: --after ${page.next}`);
    return 0;
  },
});

const head = ["ID", "STATUS", "RUNNER", "WHAT", "AGE", "TOOK", "NOTE"];
const limitUsual = 20;

function filterOf(given: Given<typeof flags>): JobFilter {
  const limit = wholeNumber("--limit", given.limit, { min: 1, max: 200 }) ?? limitUsual;
  const { search, status, runner, ...rest } = given;
  return {
    limit,
    ...pick(rest, ["surface", "client", "tag", "after"]),
    ...(search === undefined ? {} : { q: search }),
    // The service says which words there are.
    ...(status === undefined ? {} : { status: status as Job["status"] }),
    ...(runner === undefined ? {} : { runner: runner as Job["runner"] }),
  };
}

function pick<K extends string>(from: { readonly [P in K]?: string }, names: readonly K[]): { [P in K]?: string } {
  const picked: { [P in K]?: string } = {};
  for (const name of names) if (from[name] !== undefined) picked[name] = from[name];
  return picked;
}

function rowOf(job: Job): string[] {
  const took = tookMs(job);
  return [
    job.id,
    job.status,
    job.runner,
    whatOf(job),
    shownDuration(Date.now() - Date.parse(job.created_at)),
    took === null ? "" : shownDuration(took),
    noteOf(job),
  ];
}

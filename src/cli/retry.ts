import { defineCommand } from "./command.ts";
import { readInput } from "./input.ts";
import { wholeNumber } from "./numbers.ts";
import { printJson } from "./print-json.ts";

export const retry = defineCommand({
  name: "retry",
  summary: "run a job that has ended once more",
  usage: "<id> [--from-task N] [--input JSON]",
  examples: [
    { line: "fairlead retry 0199…", does: "all of it, with the input it had" },
    { line: `fairlead retry 0199… --from-task 1 --input '{"text":"hi"}'`, does: "a chain from its second link on" },
  ],
  words: { min: 1, max: 1 },
  flags: {
    "from-task": { value: "N", help: "start a chain at task N, counted from 0; earlier outputs stay" },
    input: { value: "JSON", short: "i", help: "instead of the input it had: JSON, @file, or - for stdin" },
  },
  notes: ["The job keeps its id, its history and its earlier runs. `fairlead logs <id> --follow` shows the new one."],
  where: "service",
  async run({ words: [id = ""], flags, client, terminal, json }) {
    const fromTask = wholeNumber("--from-task", flags["from-task"], { min: 0, max: 32_767 });
    const input = await readInput(flags.input);
    const job = await client.retry(id, {
      ...(fromTask === undefined ? {} : { fromTask }),
      ...(input === undefined ? {} : { input }),
    });
    if (json) return printJson(terminal, job);
    terminal.say(`${job.id}: ${job.status}`);
    return 0;
  },
});

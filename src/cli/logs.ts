import type { JobEvent } from "../client.ts";
import { hasEnded } from "../client/wait-for-end.ts";
import { defineCommand } from "./command.ts";
import { jsonPrinter, textPrinter } from "./event-printer.ts";
import { endOf } from "./job-words.ts";
import { wholeNumber } from "./numbers.ts";
import { tellReconnect } from "./reconnect-line.ts";

export const logs = defineCommand({
  name: "logs",
  summary: "show what a job said, and with --follow what it says",
  usage: "<id> [--follow] [--after N]",
  examples: [
    {
      line: "fairlead logs 0199… --follow",
      does: "from the first line on, until the job has ended; over restarts of the service",
    },
    { line: "fairlead logs 0199… --json", does: "its whole history, one event a line" },
  ],
  words: { min: 1, max: 1 },
  flags: {
    follow: { short: "f", help: "go on until the job has ended" },
    after: { value: "N", help: "events after number N alone" },
  },
  notes: [
    "Output goes to stdout and stderr as the job wrote it; progress, log lines and news of the job go to stderr.",
    "Ctrl-C stops the show and nothing else.",
  ],
  where: "service",
  async run({ words: [id = ""], flags, client, terminal, json }) {
    const after = wholeNumber("--after", flags.after, { min: 0, max: 2_147_483_647 }) ?? 0;
    const now = await client.job(id);
    const print = json ? jsonPrinter(terminal) : textPrinter(terminal);
    const isWhole = flags.follow === true || hasEnded(now);
    const events = client.events(id, { after, onReconnect: tellReconnect(terminal) });
    for await (const event of isWhole ? events : until(events, { last: now.last_event, after })) await print(event);
    terminal.status(null);
    if (!json) terminal.say(isWhole ? endOf(await client.job(id)) : `${now.status}; --follow shows what comes`);
    return 0;
  },
});

/** What is there already, without waiting for more. */
async function* until(events: AsyncGenerator<JobEvent>, { last, after }: { last: number; after: number }) {
  if (after >= last) return;
  for await (const event of events) {
    yield event;
    if (event.seq >= last) return;
  }
}

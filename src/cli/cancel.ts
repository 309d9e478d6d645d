import type { Job } from "../client.ts";
import { defineCommand } from "./command.ts";
import { printJson } from "./print-json.ts";

export const cancel = defineCommand({
  name: "cancel",
  summary: "cancel jobs",
  usage: "<id> [<id>…] [--wait]",
  examples: [
    {
      line: "fairlead cancel 0199…",
      does: "a waiting job never starts; a running one is stopped with all its processes",
    },
  ],
  words: { min: 1, max: 100 },
  flags: { wait: { short: "w", help: "until what runs has been stopped" } },
  notes: ["To cancel a job that is cancelled already is fine; one that has ended otherwise is refused with 1."],
  where: "service",
  async run({ words, flags, client, terminal, json }) {
    const cancelled: Job[] = [];
    for (const id of words) {
      const answer = await client.cancel(id);
      const job = flags.wait === true ? await client.wait(id) : answer;
      cancelled.push(job);
      if (!json) terminal.say(`${job.id}: ${job.status === "running" ? "being stopped" : job.status}`);
    }
    return json ? printJson(terminal, cancelled.length === 1 ? cancelled[0] : cancelled) : 0;
  },
});

import { defineCommand } from "./command.ts";

export const work = defineCommand({
  name: "work",
  summary: "start a worker without HTTP",
  usage: "",
  examples: [
    { line: "DATABASE_URL=postgres://… fairlead work", does: "one more node that runs jobs of that database" },
  ],
  words: { min: 0, max: 0 },
  flags: {},
  notes: [
    "Set by the same environment as `fairlead serve`; stops in the same way.",
    "WATCH_PORT opens a port for /livez, /readyz and /metrics alone.",
  ],
  where: "machine",
  async run({ tools }) {
    await tools.serve({ demo: false, dev: false, http: false, work: true });
    return 0;
  },
});

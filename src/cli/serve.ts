import { settings } from "../settings.ts";
import { defineCommand } from "./command.ts";

/** Everything that can be set, as `--help` tells it. */
const environment = Object.values(settings).map(({ name }) => name);

export const serve = defineCommand({
  name: "serve",
  summary: "start the service: all protocols and a worker",
  usage: "[flags]",
  examples: [
    { line: "fairlead serve", does: "on http://127.0.0.1:8080, with an embedded Postgres in ./.fairlead" },
    { line: "DATABASE_URL=postgres://… AUTH_KEY=… HOST=0.0.0.0 fairlead serve", does: "one node of a cluster" },
    { line: "SURFACES=orchestrator PORT=9000 fairlead serve", does: "one protocol on a port of its own" },
  ],
  words: { min: 0, max: 0 },
  flags: {
    demo: { help: "run a sample job once the service is up" },
    dev: { help: "load functions again when their files change" },
    "no-work": { help: "take jobs, and leave their work to other nodes" },
  },
  notes: [
    "SIGTERM or Ctrl-C lets running work end within DRAIN_GRACE seconds, twice stops at once.",
    `Everything else is set by the environment: ${environment.join(", ")}.`,
  ],
  where: "machine",
  async run({ flags, tools }) {
    const mode = { demo: flags.demo === true, dev: flags.dev === true, http: true, work: flags["no-work"] !== true };
    await tools.serve(mode);
    return 0;
  },
});

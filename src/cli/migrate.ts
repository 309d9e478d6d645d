import { defineCommand } from "./command.ts";

export const migrate = defineCommand({
  name: "migrate",
  summary: "bring the database to this version",
  usage: "[--plan]",
  examples: [
    { line: "DATABASE_URL=postgres://… fairlead migrate --plan", does: "shows the SQL and changes nothing" },
    {
      line: "DATABASE_URL=postgres://… fairlead migrate",
      does: "applies it; safe to run from several machines at once",
    },
  ],
  words: { min: 0, max: 0 },
  flags: { plan: { help: "print the SQL on stdout, and change nothing" } },
  notes: [
    "Without DATABASE_URL this is about the embedded database, which `fairlead serve` migrates by itself.",
    "A service on a database that was not migrated refuses to start, and says so.",
  ],
  where: "machine",
  async run({ flags, tools, terminal }) {
    if (flags.plan !== true) {
      const before = await tools.migrate();
      terminal.say(before === "current" ? "The database is at this version." : "The database has been migrated.");
      return 0;
    }
    const plan = await tools.migrationPlan();
    if (plan.length === 0) terminal.say("Nothing to do: the database is at this version.");
    for (const sql of plan) await terminal.out(`${sql.trimEnd()}\n\n`);
    return 0;
  },
});

import { defineCommand } from "./command.ts";
import { plain } from "./shown.ts";
import type { Check } from "./tools.ts";
import type { Terminal } from "./terminal.ts";

export const doctor = defineCommand({
  name: "doctor",
  summary: "check this machine, and say how to fix what is wrong",
  usage: "[--json]",
  examples: [{ line: "fairlead doctor", does: "database, schema, sandbox, browser, containers, clock, disk" }],
  words: { min: 0, max: 0 },
  flags: { json: { help: "the checks as JSON on stdout" } },
  notes: [
    "Looks with the same environment as `fairlead serve`. Exits with 1 when something is wrong that the service needs; a warning is about something that only some jobs need.",
  ],
  where: "machine",
  async run({ tools, terminal, json }) {
    const checks = await tools.doctor();
    const text = json
      ? `${JSON.stringify(checks, null, 2)}\n`
      : checks.map((check) => lineOf(check, terminal)).join("");
    await terminal.out(text);
    return checks.some(({ state }) => state === "failed") ? 1 : 0;
  },
});

function lineOf({ name, state, detail, fix }: Check, { data }: Terminal): string {
  const paint = { ok: data.green, warn: data.yellow, failed: data.red }[state];
  const head = `${paint(state.padEnd(6))}  ${name.padEnd(10)}  ${plain(detail)}\n`;
  return fix === undefined ? head : `${head}${" ".repeat(20)}fix: ${plain(fix)}\n`;
}

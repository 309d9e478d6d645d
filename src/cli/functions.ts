import type { FunctionList } from "../client/shapes.ts";
import { readJson } from "../client/send.ts";
import { defineCommand } from "./command.ts";
import { printJson } from "./print-json.ts";
import { table } from "./table.ts";

type Listed = FunctionList["functions"][number];

export const functions = defineCommand({
  name: "functions",
  summary: "list the functions of the service",
  usage: "",
  examples: [{ line: "fairlead functions", does: "names, parameters and what they do" }],
  words: { min: 0, max: 0 },
  flags: {},
  notes: ["Files of FUNCTIONS_DIR that could not be loaded are named on stderr."],
  where: "service",
  async run({ client, terminal, json }) {
    const list = await readJson<FunctionList>(await client.send("/api/v1/functions"));
    if (json) return printJson(terminal, list);
    const rows = list.functions.map((listed) => [listed.name, paramsOf(listed), listed.description ?? ""]);
    if (rows.length === 0) terminal.say("There are no functions: FUNCTIONS_DIR of the service has none.");
    else await terminal.out(table(terminal, ["NAME", "PARAMETERS", "DESCRIPTION"], rows));
    for (const { file, message } of list.problems) terminal.say(`${file}: ${message}`);
    return 0;
  },
});

/** `name, age?`: a mark behind those that may be left out. */
function paramsOf({ params }: Listed): string {
  return Object.entries(params as Record<string, { required?: boolean; default?: unknown }>)
    .map(([name, { required, default: usual }]) => (required === false || usual !== undefined ? `${name}?` : name))
    .join(", ");
}

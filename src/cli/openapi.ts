import { defineCommand } from "./command.ts";

export const openapi = defineCommand({
  name: "openapi",
  summary: "print the OpenAPI document of the service",
  usage: "",
  examples: [{ line: "fairlead openapi > openapi.json", does: "needs no database and no running service" }],
  words: { min: 0, max: 0 },
  flags: {},
  notes: ["The same document as a service serves at /openapi, for the protocols that SURFACES names."],
  where: "machine",
  async run({ tools, terminal }) {
    await terminal.out(`${JSON.stringify(await tools.openapi(), null, 2)}\n`);
    return 0;
  },
});

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { defineCommand } from "./command.ts";
import { CommandError } from "./usage-error.ts";

const program = resolve(import.meta.dir, "../../tests/bench/main.ts");

export const bench = defineCommand({
  name: "bench",
  summary: "measure this machine against the published figures",
  usage: "[-- words for the benchmark]",
  examples: [{ line: "fairlead bench", does: "prints medians and ratios, and writes tests/bench/results.json" }],
  words: { min: 0, max: 100 },
  flags: {},
  notes: ["The benchmark is part of the repository, and no part of an installed package."],
  where: "machine",
  async run({ words, tools }) {
    if (!existsSync(program)) throw new CommandError("the benchmark is not here: it comes with the repository alone");
    const child = Bun.spawn([process.execPath, program, ...words], {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    });
    const forget = tools.onInterrupt(() => child.kill("SIGINT"));
    const code = await child.exited;
    forget();
    return code;
  },
});

import { existsSync } from "node:fs";
import { resolve } from "node:path";

/** Everything that can be said of the code without running it. Ends with 1 when anything is wrong. */
const repository = resolve(import.meta.dir, "..");
const bun = process.execPath;
const shownLinesMax = 200;

/** What people write; what programs write, such as drizzle/meta, keeps their form. */
const written = ["src", "tests", "functions", "automations", "scripts", "drizzle.config.ts"].filter((path) =>
  existsSync(resolve(repository, path)),
);

const checks: [name: string, command: string[]][] = [
  ["types", [bun, "check", "--no-script"]],
  ["format", [bun, "fmt", "--check", ...written]],
  ["lint", [bun, "node_modules/.bin/biome", "lint", "--error-on-warnings", "--max-diagnostics=50"]],
  ["tidy", [bun, "test", "tests/tidy.test.ts"]],
];

let failed = 0;
for (const [name, command] of checks) {
  const startedAt = performance.now();
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
    cwd: repository,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const took = `${Math.round(performance.now() - startedAt)} ms`;
  console.log(`${exitCode === 0 ? "ok    " : "failed"}  ${name}  (${took})`);
  if (exitCode === 0) continue;
  failed++;
  console.log(`${stdout}${stderr}`.split("\n").slice(0, shownLinesMax).join("\n"));
}
process.exit(failed === 0 ? 0 : 1);

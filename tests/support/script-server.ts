import { join } from "node:path";
import { chooseSandbox, type SandboxMode } from "../../src/runners/sandbox/choose.ts";
import { runSandboxed } from "../../src/runners/sandbox/supervise.ts";
import { usualCommand } from "../../src/runners/script/read-script.ts";
import { Spares } from "../../src/runners/script/spares.ts";
import { trialLimits } from "./script-limits.ts";

/**
 * A server in miniature, to be killed: opens the sandbox, says `open`, and for every line that names a payload's directory
 * starts its `run.sh`, passing on what that prints, and raises a sandbox that stands ready.
 */
const [, , mode = "bwrap", tag = "", dataDir = ""] = process.argv;
const choice = await chooseSandbox({ mode: mode as SandboxMode, loopback: true, embedded: true, tag, dataDir });
if (choice.sandbox === null) throw new Error(choice.refusal ?? "there is no sandbox");
const { sandbox } = choice;
const spares = new Spares({ sandbox, command: usualCommand, limits: trialLimits, parent: join(dataDir, "ready") });
console.log("open");
for await (const directory of console) {
  void runSandboxed(sandbox, {
    ...{ runId: crypto.randomUUID(), directory, limits: trialLimits, timeoutMs: 60_000, graceMs: 1_000 },
    command: usualCommand,
    onOutput: (bytes) => void process.stdout.write(bytes.slice()),
  });
  if (sandbox.driver.raisesAhead) spares.want();
  console.log("started");
}

import { chooseSandbox, type SandboxMode } from "../../src/runners/sandbox/choose.ts";
import { runSandboxed } from "../../src/runners/sandbox/supervise.ts";
import { trialLimits } from "./script-limits.ts";

/**
 * A server in miniature, to be killed: opens the sandbox, says `open`, and for every line that names a payload's directory
 * starts its `run.sh`, passing on what that prints.
 */
const [, , mode = "bwrap", tag = "", dataDir = ""] = process.argv;
const choice = await chooseSandbox({ mode: mode as SandboxMode, loopback: true, embedded: true, tag, dataDir });
if (choice.sandbox === null) throw new Error(choice.refusal ?? "there is no sandbox");
console.log("open");
for await (const directory of console) {
  void runSandboxed(choice.sandbox, {
    ...{ runId: crypto.randomUUID(), directory, limits: trialLimits, timeoutMs: 60_000, graceMs: 1_000 },
    command: ["bash", "run.sh"],
    onOutput: (bytes) => void process.stdout.write(bytes.slice()),
  });
  console.log("started");
}

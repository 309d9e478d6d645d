import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childCommand } from "../../carried.ts";
import type { Inspection } from "./load-automation.ts";

const timeoutMs = 20_000;
const outputBytesMax = 1_048_576;

/** What a TypeScript automation declares. The file runs in a process of its own, with an empty environment and a time limit. */
export async function describeAutomation(file: string): Promise<Inspection> {
  // An empty working directory: no .env and no bunfig.toml of ours is read.
  const directory = await mkdtemp(join(tmpdir(), "fairlead-describe-"));
  try {
    const start = childCommand("describeAutomation");
    const child = Bun.spawn([...start.command, file], {
      cwd: directory,
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: directory, TMPDIR: directory, ...start.environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      maxBuffer: outputBytesMax,
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    await child.exited;
    return answerIn(stdout) ?? { problem: silence(child.signalCode !== null, stderr) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function answerIn(stdout: string): Inspection | null {
  const line = stdout.trimEnd().split("\n").at(-1) ?? "";
  if (!line.startsWith('{"automation":')) return null;
  return (JSON.parse(line) as { automation: Inspection }).automation;
}

function silence(wasKilled: boolean, stderr: string): string {
  if (wasKilled) return `the file did not finish loading within ${timeoutMs / 1_000} s`;
  return `the file ended the process while it was loaded: ${stderr.trim().split("\n").at(-1) ?? ""}`.slice(0, 500);
}

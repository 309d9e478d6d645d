import { chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Limits } from "../limits.ts";
import type { RunIdentity, SandboxDriver } from "./driver.ts";
import { within } from "./within.ts";

const limits: Limits = { wallS: 20, cpuS: 10, memoryMb: 512, processes: 64, fileMb: 4, outputMb: 1, network: false };
const probeMs = 20_000;

/** Each names what would be wrong; run as a script in the sandbox. What it prints fails the probe. */
export type Check = readonly [wrong: string, shell: string];

/** What every tier promises. */
export const limitChecks: readonly Check[] = [
  ["the payload's directory cannot be written to", `touch "$HOME/probe"`],
  ["/tmp cannot be written to", `at=$(mktemp /tmp/probe-XXXXXX) && rm "$at"`],
  ["limits do not hold", `[ "$(ulimit -c)" = 0 ] && [ "$(ulimit -f)" = 4096 ]`],
];

export const isolationChecks: readonly Check[] = [
  ["the seccomp filter is not in force", `grep -q '^Seccomp:[[:space:]]*2$' /proc/self/status`],
  ["new privileges can be gained", `grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status`],
  ["capabilities are left", `grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status`],
  ["processes of the machine can be seen", `set -- /proc/[0-9]*; [ $# -lt 12 ]`],
  ["a new user namespace can be made", `! unshare --user true`],
  ["the root of the file system can be written to", `! touch /probe`],
  ["/usr can be written to", `! touch /usr/probe`],
  ["/dev can be written to", `! touch /dev/probe`],
  ["/etc of the machine can be seen", `[ ! -e /etc/shadow ]`],
  ["there is a network", `! grep -qv -e '^Inter' -e '^ face' -e '^ *lo:' /proc/net/dev`],
  ["the environment is not the one that was given", `[ "$HOME:\${LD_PRELOAD-}\${BASH_ENV-}" = /work: ]`],
];

export type ProbeOptions = {
  /** Where the trial directory is made: where payloads are, so that reaching them is tried as well. */
  parent: string;
  identity: RunIdentity | null;
  checks: readonly Check[];
};

/** Starts the driver once for real. Resolves with null when every check holds, else with what is wrong. */
export async function probeDriver(driver: SandboxDriver, options: ProbeOptions): Promise<string | null> {
  const directory = mkdtempSync(join(options.parent, "probe-"));
  const output = join(mkdtempSync(join(tmpdir(), "fairlead-probe-")), "output");
  try {
    writeFileSync(join(directory, "run.sh"), options.checks.map(asLine).join("\n"));
    if (options.identity !== null) chownSync(directory, options.identity.uid, options.identity.gid);
    return await tryOnce(driver, directory, output, options.identity);
  } catch (fault) {
    return fault instanceof Error ? fault.message : String(fault);
  } finally {
    rmSync(directory, { recursive: true, force: true });
    rmSync(join(output, ".."), { recursive: true, force: true });
  }
}

async function tryOnce(driver: SandboxDriver, directory: string, output: string, identity: RunIdentity | null) {
  const opened = [openSync("/dev/null", "r"), openSync(output, "a"), openSync("/dev/null", "w")] as const;
  const [stdin, stdout, stderr] = opened;
  const run = driver.start({
    ...{ runId: basename(directory), directory, limits, identity, stdin, stdout, stderr },
    ...{ command: ["bash", "run.sh"], environment: {}, readOnly: [], cgroup: null, cgroupEntry: null },
  });
  for (const descriptor of opened) closeSync(descriptor);
  const isReady = await within(probeMs, run.ready);
  if (isReady === true) run.go();
  const exit = await within(probeMs, run.exited);
  await run.kill();
  if (exit === undefined) return `it did not end within ${probeMs / 1_000} s`;
  if (exit.fault !== null) return exit.fault;
  const wrong = readFileSync(output, "utf8").trim().split("\n").filter(Boolean);
  if (wrong.length === 0 && exit.code !== 0) return `it ended with exit code ${exit.code ?? exit.signal}`;
  return wrong.length === 0 ? null : wrong.join("; ");
}

function asLine([wrong, shell]: Check): string {
  return `( ${shell} ) >/dev/null 2>&1 || echo "${wrong}"`;
}

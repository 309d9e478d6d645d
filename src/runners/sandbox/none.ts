import { dataMbFor, firstProcess, handedOver } from "./first-process.ts";
import type { SandboxDriver, SandboxRun, SandboxSpec } from "./driver.ts";
import type { Machine, OtherTasks } from "./machine.ts";
import { limitChecks } from "./probe.ts";
import { probeHere } from "./probe-here.ts";
import type { Freshness } from "./process-scan.ts";
import { descendantsOf, processesOf, processesTagged, readProc, startTimeOf } from "./processes.ts";
import { groupMembers } from "./run-cgroup.ts";
import { sandboxRun } from "./run.ts";
import { type Spawned, spawnFirst } from "./spawn.ts";
import { runToken, tokenVariable } from "./tag.ts";

const searchPath = "/usr/local/bin:/usr/bin:/bin";
/** The first process, `timeout` and the one that waits for the server's end count against the limit as well. */
const wrappers = 3;
/** Between the supervisor's own deadline and that of `timeout`, which holds when the supervisor hangs. */
const backstopMarginS = 15;

export type NoneOptions = {
  tag: string;
  machine: Machine;
  /** Tasks that are not a run's own and yet counted with them. */
  otherTasks: OtherTasks;
};

/**
 * No isolation of what a command can see: a process group, limits, a clean environment and, when the server is root, an
 * account of its own. Its processes are found by tree, tag, account and control group, whichever there are.
 */
export function createNoneDriver(options: NoneOptions): SandboxDriver {
  const driver: SandboxDriver = {
    name: "none",
    cutsNetwork: false,
    endsWhole: false,
    raisesAhead: false,
    probe: () => probeHere(driver, options.machine, limitChecks),
    start: (spec) => start(options, spec),
  };
  return driver;
}

function start(options: NoneOptions, spec: SandboxSpec): SandboxRun {
  const { gateway } = options.machine;
  const token = runToken(options.tag, spec.runId);
  const directory = gateway === null ? spec.directory : gateway.inside(spec.directory);
  const spawned = spawnFirst({
    argv: [
      ...(gateway === null ? [] : gateway.enter(spec.identity)),
      ...firstArguments(options, spec, token, directory),
    ],
    environment: {
      HOME: directory,
      PATH: searchPath,
      LANG: "C.UTF-8",
      ...spec.environment,
      [tokenVariable]: token,
    },
    stdout: spec.stdout,
    further: handedOver(spec),
    account: gateway === null ? spec.identity : null,
  });
  const seen = rememberProcesses();
  return sandboxRun(spawned, {
    find: async (freshness) => seen.withEarlier(await findProcesses(spec, spawned, token, freshness)),
    waiting: () => Promise.resolve(spawned.pid),
    politely: (pid) => (isTimeout(pid) ? null : "SIGTERM"),
  });
}

/** It passes a TERM on to its command, which is sent one of its own. */
function isTimeout(pid: number): boolean {
  return readProc(`/proc/${pid}/comm`) === "timeout\n";
}

function firstArguments({ otherTasks }: NoneOptions, spec: SandboxSpec, token: string, directory: string) {
  return firstProcess({
    shell: { path: Bun.which("bash") ?? "/bin/bash", dialect: "bash" },
    token,
    command: ["timeout", "-s", "KILL", String(spec.limits.wallS + backstopMarginS), ...spec.command],
    directory,
    limits: spec.limits,
    processes: spec.limits.processes + wrappers + otherTasks.count(),
    dataMb: spec.cgroup === null ? dataMbFor(spec.limits) : null,
    entersCgroup: spec.cgroupEntry !== null,
    isInit: false,
    onOrphaned: spec.identity?.exclusive === true ? "whole account" : "tagged",
  });
}

/** A process that was once found stays found, whatever it does to its parents and its environment later. */
function rememberProcesses() {
  const seen = new Map<number, string>();
  return {
    withEarlier: (found: number[]) => {
      for (const [pid, startedAt] of seen) if (startTimeOf(pid) !== startedAt) seen.delete(pid);
      for (const pid of found) seen.set(pid, startTimeOf(pid));
      return [...seen.keys()];
    },
  };
}

async function findProcesses(
  { identity, cgroup }: SandboxSpec,
  spawned: Spawned,
  token: string,
  freshness: Freshness,
): Promise<number[]> {
  const found = await Promise.all([
    spawned.hasExited() ? [] : descendantsOf(spawned.pid, freshness),
    processesTagged(token, freshness),
    identity?.exclusive === true ? processesOf(identity.uid, freshness) : [],
  ]);
  const all = new Set([...found.flat(), ...(cgroup === null ? [] : groupMembers(cgroup))]);
  all.delete(spawned.pid);
  return [...all];
}

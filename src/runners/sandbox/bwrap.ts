import { closeSync, existsSync, openSync } from "node:fs";
import type { Backstop } from "./backstop.ts";
import { bwrapArguments, etcShown, hasUsualEtc, insideDirectory } from "./bwrap-arguments.ts";
import { accountFiles, type BwrapFiles, bwrapFiles } from "./bwrap-files.ts";
import { createEtcCopies, type EtcCopies, type EtcCopy } from "./etc-copies.ts";
import { dataMbFor, descriptors, firstProcess, handedOver, type Shell, stoppingSignal } from "./first-process.ts";
import { type SandboxDriver, fixedLimits, type SandboxRun, type SandboxSpec } from "./driver.ts";
import type { Machine, OtherTasks } from "./machine.ts";
import { isolationChecks, limitChecks } from "./probe.ts";
import { probeHere } from "./probe-here.ts";
import { descendantsOf, onlyChildOf, parentOf, processesTagged } from "./processes.ts";
import { sandboxRun } from "./run.ts";
import { spawnFirst } from "./spawn.ts";
import { runToken } from "./tag.ts";

/** As seen inside, where /bin and /usr are the machine's. */
const shell: Shell = existsSync("/bin/dash")
  ? { path: "/bin/dash", dialect: "dash" }
  : { path: "/bin/bash", dialect: "bash" };
/** The first process counts against the limit as well. */
const wrappers = 1;
/** From the start of the sandbox, which has half a minute to come up, to the end of a run whose supervisor hangs. */
const backstopMarginS = 45;

export type BwrapOptions = {
  /** Path of bubblewrap, 0.8 or newer. */
  bwrap: string;
  tag: string;
  machine: Machine;
  /** Tasks that are not a run's own and yet counted with them. */
  otherTasks: OtherTasks;
};

/**
 * Bubblewrap: own user, pid, mount, network, ipc, uts and cgroup namespaces, a read-only system, a seccomp filter and
 * limits set inside. The end of the first process is the end of every process of the run.
 */
export function createBwrapDriver(options: BwrapOptions): SandboxDriver {
  const prepared: Prepared = { files: bwrapFiles(options.machine.stateDir), etcCopies: null };
  let isProbed = false;
  const driver: SandboxDriver = {
    name: "bwrap",
    cutsNetwork: true,
    endsWhole: true,
    raisesAhead: options.otherTasks.areNone,
    probe: async () => {
      const wrong = await probeHere(driver, options.machine, [...isolationChecks, ...limitChecks]);
      isProbed = wrong === null;
      return wrong;
    },
    start: (spec) => {
      // Not before there are scripts: it took a third of a second here, which the start of the server would wait for.
      if (isProbed) prepared.etcCopies ??= copiesFor(options.machine);
      return start(options, prepared, spec);
    },
  };
  return driver;
}

/** What the runs of one server have in common. */
type Prepared = { files: BwrapFiles; etcCopies: EtcCopies | null };

function copiesFor({ shownDir }: Machine): EtcCopies {
  return createEtcCopies(shownDir, { shown: etcShown, own: accountFiles });
}

function start(options: BwrapOptions, { files, etcCopies }: Prepared, spec: SandboxSpec): SandboxRun {
  const token = runToken(options.tag, spec.runId);
  const copy = hasUsualEtc(spec.limits.network, spec.readOnly) ? (etcCopies?.take() ?? null) : null;
  const handed = [files.seccomp, ...(copy === null ? [files.passwd, files.group] : [])];
  const opened: number[] = [];
  try {
    for (const path of handed) opened.push(openSync(path, "r"));
    const spawned = spawnFirst({
      argv: argumentsFor(options, spec, token, copy),
      environment: { PATH: "/usr/local/bin:/usr/bin:/bin" },
      stdout: spec.stdout,
      further: [...handedOver(spec), ...opened],
      account: options.machine.gateway === null ? spec.identity : null,
    });
    const run = sandboxRun(spawned, {
      find: (freshness) =>
        spawned.hasExited() ? processesTagged(token, freshness) : descendantsOf(spawned.pid, freshness),
      waiting: () => onlyChildOf(spawned.pid),
      politely: (pid) => (parentOf(pid) === spawned.pid ? stoppingSignal : "SIGTERM"),
    });
    void run.exited.then(() => copy?.giveBack());
    holdBack(options.machine.backstop, run, token, spec);
    return run;
  } catch (fault) {
    copy?.giveBack();
    throw fault;
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/** Without its backstop a run is not begun. */
function holdBack(backstop: Backstop, run: SandboxRun, token: string, { limits, idleS = 0 }: SandboxSpec): void {
  try {
    backstop.hold(run.pid, token, idleS + limits.wallS + backstopMarginS);
  } catch (fault) {
    run.abandon();
    throw fault;
  }
  void run.exited.then(() => backstop.letGo(run.pid));
}

function argumentsFor(
  { bwrap, machine: { gateway }, otherTasks }: BwrapOptions,
  spec: SandboxSpec,
  token: string,
  copy: EtcCopy | null,
): string[] {
  const free = descriptors.stderr + handedOver(spec).length;
  const seen = (path: string) => (gateway === null ? path : gateway.inside(path));
  const inside = bwrapArguments({
    bwrap,
    directory: seen(spec.directory),
    environment: spec.environment,
    network: spec.limits.network,
    readOnly: spec.readOnly,
    temporaryMb: Math.min(fixedLimits.temporaryMb, spec.limits.memoryMb),
    seccomp: free,
    etc: copy === null ? { passwd: free + 1, group: free + 2 } : { directory: seen(copy.directory) },
  });
  const first = firstProcess({
    shell,
    token,
    command: spec.command,
    directory: insideDirectory,
    limits: spec.limits,
    processes: spec.limits.processes + wrappers + otherTasks.count(),
    dataMb: spec.cgroup === null ? dataMbFor(spec.limits) : null,
    entersCgroup: spec.cgroupEntry !== null,
    isInit: true,
    onOrphaned: "nothing",
  });
  return [...(gateway === null ? [] : gateway.enter(spec.identity)), ...inside, ...first];
}

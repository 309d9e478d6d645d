import { EngineError } from "../../errors.ts";
import { createBwrapDriver } from "./bwrap.ts";
import type { SandboxDriver } from "./driver.ts";
import { fixFor, missingFix } from "./fixes.ts";
import { type Machine, openMachine, otherTasks } from "./machine.ts";
import { createNoneDriver } from "./none.ts";
import type { Sandbox } from "./sandbox.ts";

export type SandboxMode = "auto" | "bwrap" | "none" | "required";

export type SandboxOptions = {
  mode: SandboxMode;
  /** Whether only this machine can reach the listener. */
  loopback: boolean;
  /** Whether the database is the embedded one. */
  embedded: boolean;
  /** Names this server's runs on the machine: letters, digits, `-`; the same after a restart. See `sweepLeftovers`. */
  tag: string;
  /** Where payloads are; also holds `sandbox/`, which is this room's alone. */
  dataDir: string;
  /** Path of bubblewrap; null: there is none. Absent: found on the path. */
  bwrap?: string | null;
  /** Host paths that every run sees read-only under their own names, beside /usr. */
  readOnly?: string[];
};

/** What isolates runs on this node, found by trying. `sandbox` is null when runs must fail with `refusal`. */
export type SandboxChoice = {
  readonly tier: "bwrap" | "none" | "unavailable";
  /** One line for the start of the server. */
  readonly description: string;
  readonly sandbox: Sandbox | null;
  /** Why no run can start, with the fix: the message of `sandbox_unavailable`. */
  readonly refusal: string | null;
  /** What every run is told when it is not isolated. */
  readonly warning: string | null;
  close(): Promise<void>;
};

/**
 * Decides the tier (DESIGN.md 5). Throws `unavailable`, with the fix, when what was asked for by name cannot be had:
 * the server must not start then. `auto` falls back to `none` only where no one else can reach the server.
 */
export async function chooseSandbox(options: SandboxOptions): Promise<SandboxChoice> {
  const machine = await openMachine(options.tag, options.dataDir);
  try {
    return await decide(options, machine);
  } catch (fault) {
    await machine.close();
    throw fault;
  }
}

async function decide(options: SandboxOptions, machine: Machine): Promise<SandboxChoice> {
  const { mode } = options;
  const chosen = await firstThatHolds(options, machine);
  if (typeof chosen !== "string") return chosen;
  if (mode !== "auto") throw new EngineError("unavailable", `SANDBOX=${mode} cannot be had here: ${chosen}`);
  return unavailable(machine, chosen);
}

/** The choice, or why there is none. */
async function firstThatHolds(options: SandboxOptions, machine: Machine): Promise<SandboxChoice | string> {
  const { mode, loopback, embedded } = options;
  if (machine.unreachable !== null) return describeUnreachable(options, machine.unreachable);
  if (mode === "none") return await withoutIsolation(options, machine, "SANDBOX=none");
  const bwrap = await tryBwrap(options, machine);
  if (typeof bwrap !== "string") return isolated(options, machine, bwrap);
  return mode === "auto" && loopback && embedded ? await withoutIsolation(options, machine, bwrap) : bwrap;
}

/** The driver once its probe holds, else what is wrong with the fix. */
async function tryBwrap(options: SandboxOptions, machine: Machine): Promise<SandboxDriver | string> {
  const path = options.bwrap === undefined ? Bun.which("bwrap") : options.bwrap;
  if (path === null) return `bubblewrap is not installed; ${missingFix}`;
  if (process.arch !== "x64" && process.arch !== "arm64") return `there is no seccomp filter for ${process.arch}`;
  const driver = createBwrapDriver({
    bwrap: path,
    tag: options.tag,
    machine,
    otherTasks: otherTasks(machine, true),
  });
  const reason = await driver.probe();
  return reason === null ? driver : `bubblewrap does not hold what it promises (${reason}); ${fixFor(reason)}`;
}

function isolated(options: SandboxOptions, machine: Machine, driver: SandboxDriver): SandboxChoice {
  const describe = (network: boolean) =>
    `bwrap: own namespaces, seccomp, ${network ? "network granted" : "no network"}, ${accountOf(machine)}, ${memoryOf(machine)}`;
  return {
    tier: "bwrap",
    description: `scripts are isolated by bubblewrap (${describe(false)})`,
    sandbox: sandboxOf(options, machine, driver, describe),
    refusal: null,
    warning: null,
    close: machine.close,
  };
}

async function withoutIsolation(
  options: SandboxOptions,
  machine: Machine,
  why: string,
): Promise<SandboxChoice | string> {
  const describe = () => `none: limits only, network open, ${accountOf(machine)}, ${memoryOf(machine)}`;
  const driver = createNoneDriver({ tag: options.tag, machine, otherTasks: otherTasks(machine, false) });
  const wrong = await driver.probe();
  if (wrong !== null)
    return `scripts do not run even without isolation (${wrong}); bash, coreutils and procfs are needed`;
  return {
    tier: "none",
    description: `scripts are NOT isolated (${describe()}): ${why}`,
    sandbox: sandboxOf(options, machine, driver, describe),
    refusal: null,
    warning: `this run is not isolated (${describe()}): ${why}`,
    close: machine.close,
  };
}

function unavailable(machine: Machine, why: string): SandboxChoice {
  return {
    tier: "unavailable",
    description: `scripts cannot run: ${why}`,
    sandbox: null,
    refusal: `scripts cannot run on this node: ${why}`,
    warning: null,
    close: machine.close,
  };
}

function sandboxOf(
  options: SandboxOptions,
  { accounts, cgroups, channels, dataDir, stateDir }: Machine,
  driver: SandboxDriver,
  describe: Sandbox["describe"],
): Sandbox {
  return { driver, accounts, cgroups, channels, dataDir, stateDir, readOnly: options.readOnly ?? [], describe };
}

function accountOf({ accounts }: Machine): string {
  return accounts === null ? "the server's account" : "an account of its own";
}

function memoryOf({ cgroups }: Machine): string {
  return cgroups === null ? "memory watched" : "memory bounded by its control group";
}

function describeUnreachable({ dataDir }: SandboxOptions, reason: string): string {
  return `the unprivileged accounts of runs cannot enter DATA_DIR ${dataDir} (${reason}); put it where other accounts may enter, or run the server as an ordinary user`;
}

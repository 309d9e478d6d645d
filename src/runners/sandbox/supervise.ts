import type { RunFacts, StopReason } from "../contract.ts";
import type { SandboxExit, SandboxRun, Variables } from "./driver.ts";
import { handOver } from "./ownership.ts";
import type { Consumers, Setting } from "./prepare.ts";
import { type Raised, raise, readyMs } from "./raise.ts";
import type { RunCgroup } from "./run-cgroup.ts";
import type { Sandbox } from "./sandbox.ts";
import { createStopping, graceMsFor, type Stopping } from "./stopping.ts";
import { type Watch, watchRun } from "./watch.ts";
import { within } from "./within.ts";

/** What is to be done in a sandbox, and when it must end. Times in milliseconds. */
export type Orders = Consumers & {
  /** Wall time; the lower of this and `limits.wallS` counts. */
  timeoutMs: number;
  /** Between TERM and KILL. */
  graceMs: number;
  /** Files and directories that the directory may hold; 100,000 when absent. */
  entriesMax?: number;
  /** Added to the environment at the last moment. */
  variables?: Variables;
  /** Called when the command has been let go. */
  onBegun?(): void;
};

/** A command to run in a sandbox to its end. With `onErrors` stderr does not join stdout, in the order in which both were written. */
export type SandboxedCommand = Omit<Setting, "hasErrors" | "idleS"> & Orders;

/** How it ended. `fault` is set when the command never started, and says why. */
export type SandboxedEnd = {
  reason: StopReason | null;
  fault: string | null;
  /** How many processes of it the kernel killed for want of memory. */
  outOfMemoryKills: number;
  /** Processes that could not be killed: none, unless the kernel itself is stuck. */
  survivors: number;
  facts: RunFacts;
};

export type SandboxedRun = {
  /** Never rejects. When it resolves nothing of the run is alive and all output was handed over. */
  readonly done: Promise<SandboxedEnd>;
  /** Any number of times; the first reason counts. */
  stop(reason: StopReason): void;
};

const stepMs = 20;
const entriesMaxDefault = 100_000;

/** Runs one command: limits, output, stop ladder, and the proof that nothing is left. */
export function runSandboxed(sandbox: Sandbox, command: SandboxedCommand): SandboxedRun {
  const stopping = createStopping();
  const raised = raise(sandbox, { ...command, hasErrors: command.onErrors !== undefined });
  const done = raised.then((it) => perform({ ...it, orders: command, stopping }));
  return { done: done.catch(saidBy(sandbox, command, stopping)), stop: stopping.stop };
}

/** The same in a sandbox that has been raised before, on a directory that is called `directory` by now. */
export function runRaised({ setting: before, ...raised }: Raised, directory: string, orders: Orders): SandboxedRun {
  const stopping = createStopping();
  const setting = { ...before, directory };
  const done = perform({ ...raised, setting, orders, stopping });
  return { done: done.catch(saidBy(raised.sandbox, setting, stopping)), stop: stopping.stop };
}

function saidBy(sandbox: Sandbox, setting: Setting, stopping: Stopping): (fault: unknown) => SandboxedEnd {
  return (fault) => neverStarted(sandbox, setting, stopping, fault instanceof Error ? fault.message : String(fault));
}

/** One run and all that belongs to it. `prepared.spec` has the name that the directory had when the sandbox was raised. */
type Job = Raised & { orders: Orders; stopping: Stopping };

async function perform(job: Job): Promise<SandboxedEnd> {
  try {
    return await carryThrough(job);
  } catch (fault) {
    job.run.abandon();
    throw fault;
  } finally {
    await job.prepared.clear();
  }
}

async function carryThrough(job: Job): Promise<SandboxedEnd> {
  const { sandbox, setting, orders, stopping, prepared, run } = job;
  prepared.readOutput(orders);
  if (!(await isLetGo(job))) return await neverCameUp(job);
  const startedAt = performance.now();
  const hold = holdToLimits(job);
  orders.onBegun?.();
  const exit = await Promise.race([run.exited, hold.stuck]);
  const reason = stopping.reason();
  const wallMs = performance.now() - startedAt;
  hold.release();
  const isOver = sandbox.driver.endsWhole && exit?.endedItself === true;
  const survivors = reason !== null ? await hold.ladder : isOver ? 0 : await run.kill();
  await prepared.finishOutput();
  if (exit?.fault != null) return { ...neverStarted(sandbox, setting, stopping, exit.fault), survivors };
  const facts = { ...factsOf(sandbox, setting), ...measured(exit, hold.watch, prepared.cgroup), wallMs };
  const outOfMemoryKills = prepared.cgroup?.outOfMemoryKills() ?? 0;
  return { reason, fault: null, outOfMemoryKills, survivors, facts };
}

/** True once the command has been let go, in a directory that is its account's. */
async function isLetGo({ isUp, setting, orders, stopping, prepared, run }: Job): Promise<boolean> {
  const { identity } = prepared.spec;
  const [stands] = await Promise.all([
    Promise.race([isUp, stopping.asked.then(() => false)]),
    identity === null ? null : handOver(setting.directory, identity),
  ]);
  return stands && stopping.reason() === null && run.go(orders.variables);
}

async function neverCameUp({ sandbox, setting, stopping, run }: Job): Promise<SandboxedEnd> {
  await run.kill();
  const exit = await within(readyMs, run.exited);
  const fault = exit?.fault ?? `it did not come up within ${readyMs / 1_000} s, or was killed (${exit?.signal})`;
  return neverStarted(sandbox, setting, stopping, fault);
}

/** Everything that can end the run from outside, until it is released. */
function holdToLimits({ sandbox, setting, orders, stopping, prepared, run }: Job) {
  const wallMs = wallMsOf(setting, orders);
  const watch = watchRun({
    directory: setting.directory,
    limits: setting.limits,
    cgroup: prepared.cgroup,
    entriesMax: orders.entriesMax ?? entriesMaxDefault,
    processes: run.processes,
    onExceeded: stopping.stop,
  });
  const deadline = setTimeout(() => stopping.stop(tooLong(wallMs)), wallMs);
  const ladder = stopping.asked.then(async (reason) => {
    await watch.look();
    return await climbDown(run, sandbox.driver.endsWhole, graceMsFor(reason, orders.graceMs));
  });
  const release = () => {
    clearTimeout(deadline);
    watch.stop();
  };
  return { watch, ladder, release, stuck: stuckAfter(ladder, run) };
}

/** Null when the tree would not die, which is no reason to wait for it for ever; else the exit. */
async function stuckAfter(ladder: Promise<number>, run: SandboxRun): Promise<SandboxExit | null> {
  return (await ladder) > 0 ? null : await run.exited;
}

/** TERM, grace, KILL. Resolves with what is left, which is nothing. */
async function climbDown(run: SandboxRun, endsWhole: boolean, graceMs: number): Promise<number> {
  let hasExited = false;
  const exited = run.exited.then(() => {
    hasExited = true;
  });
  if (graceMs > 0) await run.terminate();
  const until = performance.now() + graceMs;
  const isOver = async () => hasExited && (endsWhole || (await run.processes("now")).length === 0);
  while (performance.now() < until && !(await isOver())) {
    const pauseMs = Math.min(stepMs, Math.max(1, until - performance.now()));
    await (hasExited ? Bun.sleep(pauseMs) : Promise.race([exited, Bun.sleep(pauseMs)]));
  }
  return await run.kill();
}

function tooLong(wallMs: number): StopReason {
  return { code: "timed_out", message: `it did not end within ${wallMs / 1_000} s` };
}

function wallMsOf({ limits }: Setting, { timeoutMs }: Orders): number {
  // A timer's longest delay; longer ones would fire at once.
  return Math.min(timeoutMs, limits.wallS * 1_000, 2_147_483_647);
}

function neverStarted(sandbox: Sandbox, setting: Setting, stopping: Stopping, fault: string): SandboxedEnd {
  const reason = stopping.reason();
  const facts = factsOf(sandbox, setting);
  return { reason, fault: reason === null ? fault : null, outOfMemoryKills: 0, survivors: 0, facts };
}

/** Before anything was measured. A network that the tier does not cut is said to be open. */
function factsOf(sandbox: Sandbox, { limits }: Setting): RunFacts {
  const network = limits.network || !sandbox.driver.cutsNetwork;
  return {
    sandbox: sandbox.describe(network),
    wallMs: 0,
    cpuMs: null,
    maxRssMb: null,
    exitCode: null,
    signal: null,
    limits: { ...limits, network },
  };
}

/** The group's own peak counts the files it read too, so it is asked only about runs too short to be looked at. */
function measured(exit: SandboxExit | null, watch: Watch, cgroup: RunCgroup | null): Partial<RunFacts> {
  const seen = [exit?.maxRssMb ?? null, watch.peakMb()].filter((mb) => mb !== null);
  const maxRssMb = seen.length > 0 ? Math.max(...seen) : (cgroup?.peakMb() ?? null);
  const times = [exit?.cpuMs ?? null, watch.cpuMs()].filter((ms) => ms !== null);
  const cpuMs = times.length > 0 ? Math.max(...times) : null;
  return { exitCode: exit?.code ?? null, signal: exit?.signal ?? null, cpuMs, maxRssMb };
}

import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import type { RunFacts, StopReason } from "../contract.ts";
import type { Limits } from "../limits.ts";
import { fixedLimits, type SandboxExit, type SandboxRun } from "./driver.ts";
import type { ByteConsumer } from "./drain.ts";
import { type Prepared, prepareRun } from "./prepare.ts";
import type { RunCgroup } from "./run-cgroup.ts";
import type { Sandbox } from "./sandbox.ts";
import { createStopping, graceMsFor, type Stopping } from "./stopping.ts";
import { type Watch, watchRun } from "./watch.ts";
import { within } from "./within.ts";

/** A command to run in a sandbox to its end. Times in milliseconds. */
export type SandboxedCommand = {
  runId: string;
  command: string[];
  /** The one place the command may write to that outlives it; its working directory and HOME. */
  directory: string;
  /** The limits in force. */
  limits: Limits;
  /** Wall time; the lower of this and `limits.wallS` counts. */
  timeoutMs: number;
  /** Between TERM and KILL. */
  graceMs: number;
  environment?: Record<string, string>;
  /** What the command reads on stdin; nothing when absent. */
  stdin?: Uint8Array;
  /** Files and directories that the directory may hold; 100,000 when absent. */
  entriesMax?: number;
  /** Further host paths shown read-only under their own names. */
  readOnly?: string[];
  onOutput: ByteConsumer;
  /** Absent: stderr joins stdout, in the order in which both were written. */
  onErrors?: ByteConsumer;
};

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

const readyMs = 30_000;
const stepMs = 20;
const entriesMaxDefault = 100_000;

/** Runs one command: limits, output, stop ladder, and the proof that nothing is left. */
export function runSandboxed(sandbox: Sandbox, command: SandboxedCommand): SandboxedRun {
  const stopping = createStopping();
  const done = perform(sandbox, command, stopping).catch((fault: unknown) =>
    neverStarted(sandbox, command, stopping, fault instanceof Error ? fault.message : String(fault)),
  );
  return { done, stop: stopping.stop };
}

/** One run and all that belongs to it. */
type Job = { sandbox: Sandbox; command: SandboxedCommand; stopping: Stopping; prepared: Prepared; run: SandboxRun };

async function perform(sandbox: Sandbox, command: SandboxedCommand, stopping: Stopping): Promise<SandboxedEnd> {
  const prepared = await prepareRun(sandbox, command);
  try {
    const run = sandbox.driver.start(prepared.spec);
    prepared.release();
    return await carryThrough({ sandbox, command, stopping, prepared, run });
  } finally {
    await prepared.clear();
  }
}

async function carryThrough(job: Job): Promise<SandboxedEnd> {
  const { sandbox, command, stopping, prepared, run } = job;
  try {
    if (!(await comesUp(run, prepared.cgroup, stopping))) return await neverCameUp(job);
    const startedAt = performance.now();
    const hold = holdToLimits(job);
    const exit = await Promise.race([run.exited, hold.stuck]);
    const reason = stopping.reason();
    const wallMs = performance.now() - startedAt;
    hold.release();
    const isOver = sandbox.driver.endsWhole && exit?.endedItself === true;
    const survivors = reason !== null ? await hold.ladder : isOver ? 0 : await run.kill();
    await prepared.finishOutput();
    const facts = { ...factsOf(sandbox, command), ...measured(exit, hold.watch, prepared.cgroup), wallMs };
    const outOfMemoryKills = prepared.cgroup?.outOfMemoryKills() ?? 0;
    return { reason, fault: null, outOfMemoryKills, survivors, facts };
  } catch (fault) {
    run.abandon();
    throw fault;
  }
}

/** True once the command has been let go. A first process that could move itself is in its group when it is ready. */
async function comesUp(run: SandboxRun, cgroup: RunCgroup | null, stopping: Stopping): Promise<boolean> {
  const outside = cgroup?.entry === null ? cgroup : null;
  const joining = outside?.join(run.pid);
  const isReady = await within(readyMs, Promise.race([run.ready, stopping.asked.then(() => false)]));
  const hasJoined = await joining;
  const waiting = await run.waiting();
  if (isReady !== true || hasJoined === false || waiting === null) return false;
  lowerPriority(waiting);
  if (waiting !== run.pid && (await outside?.join(waiting)) === false) return false;
  return stopping.reason() === null && run.go();
}

async function neverCameUp({ sandbox, command, stopping, run }: Job): Promise<SandboxedEnd> {
  await run.kill();
  const exit = await within(readyMs, run.exited);
  const fault = exit?.fault ?? `it did not come up within ${readyMs / 1_000} s, or was killed (${exit?.signal})`;
  return neverStarted(sandbox, command, stopping, fault);
}

/** Everything that can end the run from outside, until it is released. */
function holdToLimits({ sandbox, command, stopping, prepared, run }: Job) {
  const watch = watchRun({
    directory: command.directory,
    limits: command.limits,
    cgroup: prepared.cgroup,
    entriesMax: command.entriesMax ?? entriesMaxDefault,
    processes: run.processes,
    onExceeded: stopping.stop,
  });
  const deadline = setTimeout(() => stopping.stop(tooLong(command)), wallMsOf(command));
  const ladder = stopping.asked.then(async (reason) => {
    await watch.look();
    return await climbDown(run, sandbox.driver.endsWhole, graceMsFor(reason, command.graceMs));
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

/** Everything the command starts inherits both; a kernel with autogroups weighs sessions, and the other only within one. */
function lowerPriority(pid: number): void {
  try {
    setPriority(pid, fixedLimits.niceness);
    writeFileSync(`/proc/${pid}/autogroup`, String(fixedLimits.niceness));
  } catch {
    // It ended already, as its exit will say, or the kernel has no autogroups.
  }
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

function tooLong(command: SandboxedCommand): StopReason {
  return { code: "timed_out", message: `it did not end within ${wallMsOf(command) / 1_000} s` };
}

function wallMsOf(command: SandboxedCommand): number {
  // A timer's longest delay; longer ones would fire at once.
  return Math.min(command.timeoutMs, command.limits.wallS * 1_000, 2_147_483_647);
}

function neverStarted(sandbox: Sandbox, command: SandboxedCommand, stopping: Stopping, fault: string): SandboxedEnd {
  const reason = stopping.reason();
  const facts = factsOf(sandbox, command);
  return { reason, fault: reason === null ? fault : null, outOfMemoryKills: 0, survivors: 0, facts };
}

/** Before anything was measured. A network that the tier does not cut is said to be open. */
function factsOf(sandbox: Sandbox, { limits }: SandboxedCommand): RunFacts {
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

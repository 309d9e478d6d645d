import { closeSync, constants, openSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { RunIdentity, SandboxSpec } from "./driver.ts";
import { drainChannel } from "./drain.ts";
import { takeOwnership } from "./ownership.ts";
import { openWay } from "./reachable.ts";
import type { RunCgroup } from "./run-cgroup.ts";
import type { Sandbox } from "./sandbox.ts";
import type { SandboxedCommand } from "./supervise.ts";
import { within } from "./within.ts";

/** What a run needs beside its driver, opened; `clear` undoes all of it and may be called at any point. */
export type Prepared = {
  readonly spec: SandboxSpec;
  readonly cgroup: RunCgroup | null;
  /** Once the command has its own copies. */
  release(): void;
  /** Hands over what is left in the channels, when nobody writes to them any more. */
  finishOutput(): Promise<void>;
  clear(): Promise<void>;
};

/** A reader that takes nothing for this long after the end of its run is given up. */
const handOverMs = 30_000;
const removePausesMs = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

export async function prepareRun(sandbox: Sandbox, command: SandboxedCommand): Promise<Prepared> {
  if (!/^[\w.-]{1,128}$/.test(command.runId)) throw new Error(`"${command.runId}" cannot name a run`);
  const undo: Undo = [];
  const clear = async () => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const identity = await takeIdentity(sandbox, command, undo);
    const cgroup = openCgroup(sandbox, command, undo);
    const stdin = openStdin(sandbox.stateDir, command, undo);
    const outputs = await openOutputs(sandbox, command, undo);
    const { runId, directory, limits } = command;
    return {
      spec: {
        ...{ runId, directory, limits, identity, stdin, stdout: outputs.stdout, stderr: outputs.stderr },
        command: command.command,
        environment: command.environment ?? {},
        readOnly: [...sandbox.readOnly, ...(command.readOnly ?? [])],
        cgroup: cgroup?.directory ?? null,
        cgroupEntry: cgroup?.entry ?? null,
      },
      cgroup,
      release: outputs.release,
      finishOutput: outputs.finish,
      clear,
    };
  } catch (fault) {
    await clear();
    throw fault;
  }
}

type Undo = (() => void | Promise<void>)[];

async function takeIdentity(sandbox: Sandbox, command: SandboxedCommand, undo: Undo): Promise<RunIdentity | null> {
  const { accounts } = sandbox;
  if (accounts === null) return null;
  openWay(sandbox.dataDir, dirname(command.directory));
  const identity = await takeOwnership(command.directory, accounts);
  undo.push(() => accounts.give(identity));
  return identity;
}

function openCgroup({ cgroups }: Sandbox, { runId, limits }: SandboxedCommand, undo: Undo): RunCgroup | null {
  const cgroup = cgroups?.open(runId, limits) ?? null;
  if (cgroup !== null) undo.push(() => removeSoon(cgroup), cgroup.close);
  return cgroup;
}

/** The kernel lets a group go a moment after its last process. What stays is removed at the next start. */
async function removeSoon(cgroup: RunCgroup): Promise<void> {
  for (const pauseMs of removePausesMs) {
    if (cgroup.remove()) return;
    await pause(pauseMs);
  }
}

/** Input comes from a file whose name is gone before the command starts, so that it may be large and is read when wanted. */
function openStdin(stateDir: string, { runId, stdin }: SandboxedCommand, undo: Undo): number {
  const descriptor =
    stdin === undefined ? openSync("/dev/null", "r") : openUnnamed(join(stateDir, `${runId}.in`), stdin);
  undo.push(() => closeSync(descriptor));
  return descriptor;
}

function openUnnamed(path: string, bytes: Uint8Array): number {
  writeFileSync(path, bytes, { flag: "wx", mode: 0o644 });
  const descriptor = openSync(path, constants.O_RDONLY);
  unlinkSync(path);
  return descriptor;
}

async function openOutputs(sandbox: Sandbox, { onOutput, onErrors }: SandboxedCommand, undo: Undo) {
  const open = async (consume: SandboxedCommand["onOutput"]) => {
    const channel = await sandbox.channels.take();
    undo.push(channel.close);
    const drain = drainChannel(channel.reader, consume);
    undo.push(drain.abandon);
    return { channel, drain };
  };
  const first = await open(onOutput);
  const second = onErrors === undefined ? first : await open(onErrors);
  const both = first === second ? [first] : [first, second];
  return {
    stdout: first.channel.writer,
    stderr: second.channel.writer,
    release: () => {
      for (const { channel } of both) channel.closeWriter();
    },
    finish: async () => {
      await within(handOverMs, Promise.all(both.map(({ drain }) => drain.finish())));
    },
  };
}

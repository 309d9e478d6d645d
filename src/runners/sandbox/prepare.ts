import { closeSync, constants, openSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { RunIdentity, SandboxSpec } from "./driver.ts";
import type { Limits } from "../limits.ts";
import type { OutputChannel } from "./channels.ts";
import { type ByteConsumer, type Drain, drainChannel } from "./drain.ts";
import { identityFor } from "./ownership.ts";
import { openWay } from "./reachable.ts";
import type { RunCgroup } from "./run-cgroup.ts";
import type { Sandbox } from "./sandbox.ts";
import { within } from "./within.ts";

/** A command in its surroundings, and not yet what becomes of its output. */
export type Setting = {
  runId: string;
  command: string[];
  /** The one place the command may write to that outlives it; its working directory and HOME. */
  directory: string;
  /** The limits in force. */
  limits: Limits;
  environment?: Record<string, string>;
  /** What the command reads on stdin; nothing when absent. */
  stdin?: Uint8Array;
  /** Further host paths shown read-only under their own names. */
  readOnly?: string[];
  /** Whether stderr has a channel of its own, instead of joining stdout. */
  hasErrors?: boolean;
  /** For how long the sandbox may stand before it is told to begin; 0 when absent. */
  idleS?: number;
};

export type Consumers = { onOutput: ByteConsumer; onErrors?: ByteConsumer };

/** What a run needs beside its driver, opened; `clear` undoes all of it and may be called at any point. */
export type Prepared = {
  readonly spec: SandboxSpec;
  readonly cgroup: RunCgroup | null;
  /** Once the command has its own copies. */
  release(): void;
  /** Hands over what comes through the channels from now on. */
  readOutput(consumers: Consumers): void;
  /** Hands over what is left in the channels, when nobody writes to them any more. */
  finishOutput(): Promise<void>;
  clear(): Promise<void>;
};

/** A reader that takes nothing for this long after the end of its run is given up. */
const handOverMs = 30_000;
const removePausesMs = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

export async function prepareRun(sandbox: Sandbox, setting: Setting): Promise<Prepared> {
  if (!/^[\w.-]{1,128}$/.test(setting.runId)) throw new Error(`"${setting.runId}" cannot name a run`);
  const undo: Undo = [];
  const clear = async () => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const identity = takeIdentity(sandbox, setting, undo);
    const cgroup = openCgroup(sandbox, setting, undo);
    const stdin = openStdin(sandbox.stateDir, setting, undo);
    const outputs = await openOutputs(sandbox, setting, undo);
    const { runId, command, directory, limits, environment = {}, readOnly = [], idleS = 0 } = setting;
    return {
      spec: {
        ...{ runId, command, directory, limits, environment, identity, idleS },
        ...{ stdin, stdout: outputs.stdout, stderr: outputs.stderr },
        readOnly: [...sandbox.readOnly, ...readOnly],
        cgroup: cgroup?.directory ?? null,
        cgroupEntry: cgroup?.entry ?? null,
      },
      cgroup,
      release: outputs.release,
      readOutput: outputs.read,
      finishOutput: outputs.finish,
      clear,
    };
  } catch (fault) {
    await clear();
    throw fault;
  }
}

type Undo = (() => void | Promise<void>)[];

function takeIdentity(sandbox: Sandbox, { directory }: Setting, undo: Undo): RunIdentity | null {
  const { accounts } = sandbox;
  if (accounts === null) return null;
  openWay(sandbox.dataDir, dirname(directory));
  const identity = identityFor(directory, accounts);
  undo.push(() => accounts.give(identity));
  return identity;
}

function openCgroup({ cgroups }: Sandbox, { runId, limits }: Setting, undo: Undo): RunCgroup | null {
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
function openStdin(stateDir: string, { runId, stdin }: Setting, undo: Undo): number {
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

async function openOutputs(sandbox: Sandbox, { hasErrors = false }: Setting, undo: Undo) {
  const open = async () => {
    const channel = await sandbox.channels.take();
    undo.push(channel.close);
    return channel;
  };
  const first = await open();
  const second = hasErrors ? await open() : first;
  const drains: Drain[] = [];
  const drain = (channel: OutputChannel, consume: ByteConsumer) => {
    const started = drainChannel(channel.reader, consume);
    undo.push(started.abandon);
    drains.push(started);
  };
  return {
    stdout: first.writer,
    stderr: second.writer,
    release: () => {
      for (const channel of new Set([first, second])) channel.closeWriter();
    },
    read: ({ onOutput, onErrors = onOutput }: Consumers) => {
      drain(first, onOutput);
      if (second !== first) drain(second, onErrors);
    },
    finish: async () => {
      await within(handOverMs, Promise.all(drains.map((each) => each.finish())));
    },
  };
}

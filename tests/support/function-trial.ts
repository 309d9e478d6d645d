import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, type Log } from "../../src/log.ts";
import type { Outcome, RunFacts, RunRequest, RunSink, StopReason } from "../../src/runners/contract.ts";
import {
  createFunctionRunner,
  type FunctionRunner,
  type FunctionRunnerOptions,
} from "../../src/runners/function/runner.ts";
import { until } from "./until.ts";

export type Ended = {
  outcome: Outcome;
  facts: RunFacts;
  logs: { level: string; text: string }[];
  /** What was streamed, in pieces. */
  pieces: string[];
  progress: { fraction: number; text?: string }[];
};

export type Started = Omit<Ended, "outcome" | "facts"> & {
  stop(reason: StopReason): void;
  ended: Promise<Ended>;
};

export type FunctionTrial = {
  runner: FunctionRunner;
  directory: string;
  log: Log;
  start(name: string, input?: unknown, changes?: Partial<RunRequest>, sink?: Partial<RunSink>): Started;
  run(name: string, input?: unknown, changes?: Partial<RunRequest>): Promise<Ended>;
  write(file: string, text: string): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** A runner over a directory of its own with these files, one function each; closed and removed at the end of the block. */
export async function openFunctions(
  files: Record<string, string>,
  options: Partial<FunctionRunnerOptions> = {},
): Promise<FunctionTrial> {
  const directory = await mkdtemp(join(tmpdir(), "functions-"));
  const write = async (file: string, text: string) => {
    await Bun.write(join(directory, file), text);
  };
  await Promise.all(Object.entries(files).map(([file, text]) => write(file, text)));
  const log = createLog({ level: "debug", maxLines: 1_000, write: () => undefined });
  const environment = { PATH: process.env.PATH };
  const runner = await createFunctionRunner({ directory, slots: 4, log, environment, ...options });
  const start: FunctionTrial["start"] = (name, input, changes, sink) => startRun(runner, name, input, changes, sink);
  return {
    runner,
    directory,
    log,
    start,
    run: (name, input, changes) => start(name, input, changes).ended,
    write,
    async [Symbol.asyncDispose]() {
      await runner.close();
      await rm(directory, { recursive: true });
    },
  };
}

function startRun(
  runner: FunctionRunner,
  name: string,
  input: unknown = {},
  changes: Partial<RunRequest> = {},
  sink: Partial<RunSink> = {},
): Started {
  const seen = { logs: [] as Ended["logs"], pieces: [] as string[], progress: [] as Ended["progress"] };
  const request: RunRequest = {
    jobId: "job-1",
    taskIndex: 0,
    runId: "run-1",
    attempt: 1,
    target: name,
    input,
    options: {},
    limits: {},
    timeoutMs: 30_000,
    directory: null,
    traceparent: null,
    ...changes,
  };
  const run = runner.start(request, {
    log: (level, text) => void seen.logs.push({ level, text }),
    output: (_stream, text) => void seen.pieces.push(text),
    progress: (fraction, text) => void seen.progress.push(text === undefined ? { fraction } : { fraction, text }),
    ...sink,
  });
  return { ...seen, stop: (reason) => run.stop(reason), ended: run.done.then((end) => ({ ...end, ...seen })) };
}

/** Whether a process is there and not merely waiting to be reaped. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    // Without a status there is no process.
    return false;
  }
}

export async function untilDead(...pids: number[]): Promise<void> {
  await until(`processes ${pids.join(", ")} are gone`, () => !pids.some(isAlive));
}

import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ActiveRun, Outcome, RunFacts, RunRequest, RunSink } from "../../src/runners/contract.ts";
import type { Limits } from "../../src/runners/limits.ts";
import { chooseSandbox, type SandboxChoice, type SandboxOptions } from "../../src/runners/sandbox/choose.ts";
import { isAlive, readProc } from "../../src/runners/sandbox/processes.ts";
import { processIds } from "../../src/runners/sandbox/process-scan.ts";
import { createScriptRunner } from "../../src/runners/script/runner.ts";
import { whenFileEnds } from "./ending.ts";
import { trialLimits } from "./script-limits.ts";

const scripts = join(import.meta.dir, "scripts");

/** Whether tests may count on bubblewrap; tried, since being installed says little. */
export const hasBwrap = await tryBwrap();
/** The counts of the list of threats instead of those that fit into every run of the tests. */
export const isFull = process.env.FAIRLEAD_FULL === "1";
export const isRoot = process.getuid?.() === 0;

export type TrialRun = {
  outcome: Outcome;
  facts: RunFacts;
  /** All output, in order, with the logs and progress as lines between: `<warn: …>`, `<0.4 half>`. */
  said: string;
  output: string;
  logs: string[];
  directory: string;
};

export type Started = {
  directory: string;
  runId: string;
  active: ActiveRun;
  /** Its output so far. */
  output(): string;
  done: Promise<TrialRun>;
};

export type TrialScript = Partial<RunRequest> & {
  /** Text of run.sh, or the name of a program below tests/support/scripts that becomes run.sh. */
  text?: string;
  program?: string;
  files?: Record<string, string | Uint8Array>;
  onOutput?: RunSink["output"];
};

export type TrialOptions = Partial<SandboxOptions> & {
  graceMs?: number;
  entriesMax?: number;
  maximum?: Partial<Limits>;
};

/** A data directory and a script runner on it, as the server would have them; closed when the file ends. */
export async function openTrial(options: TrialOptions = {}) {
  const dataDir = options.dataDir ?? makeDataDir();
  const { graceMs = 1_000, maximum, entriesMax = 100_000, ...choose } = options;
  const choice = await chooseSandbox({
    ...{ mode: "bwrap", loopback: true, embedded: true, tag: `trial-${crypto.randomUUID().slice(0, 8)}` },
    ...choose,
    dataDir,
  });
  const runner = createScriptRunner({
    ...{ sandbox: choice, maximum: { ...trialLimits, ...maximum }, graceMs, entriesMax },
    readyDir: join(dataDir, "ready"),
  });
  whenFileEnds(async () => {
    await runner.close();
    await choice.close();
    removeHostile(dataDir);
  });
  const start = (script: TrialScript): Started =>
    startScript(dataDir, script, (request, sink) => runner.start(request, sink));
  return { dataDir, choice, runner, start, run: (script: TrialScript) => start(script).done };
}

/** One trial for a whole file, opened when it is first asked for. */
export function sharedTrial(options: TrialOptions = {}): () => Promise<Trial> {
  let opened: Promise<Trial> | null = null;
  return () => {
    opened ??= openTrial(options);
    return opened;
  };
}

/** Processes of the machine that have `mark` among their arguments. */
export function processesMarked(mark: string): number[] {
  return processIds().filter((pid) => readProc(`/proc/${pid}/cmdline`).includes(mark) && isAlive(pid));
}

export type Trial = Awaited<ReturnType<typeof openTrial>>;

/** Text of a program below tests/support/scripts. */
export function program(name: string): string {
  return readFileSync(join(scripts, name), "utf8");
}

/** A data directory that any account may enter. */
export function makeDataDir(): string {
  const dataDir = mkdtempSync(join(tmpdir(), "fairlead-trial-"));
  chmodSync(dataDir, 0o755);
  return dataDir;
}

/** Removes what a hostile script left, closed directories and unreadable names included. */
export function removeHostile(directory: string): void {
  Bun.spawnSync(["sh", "-c", `chmod -R u+rwX -- "$1"; rm -rf -- "$1"`, "sh", directory], { stderr: "ignore" });
}

/** A payload's directory as the server makes it. */
export function makePayload(dataDir: string, { text, program: name, files = {} }: TrialScript): string {
  const directory = mkdtempSync(join(dataDir, "payload-"));
  if (name !== undefined) cpSync(join(scripts, name), join(directory, "run.sh"));
  if (text !== undefined) writeFileSync(join(directory, "run.sh"), text);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  return directory;
}

function startScript(
  dataDir: string,
  script: TrialScript,
  start: (request: RunRequest, sink: RunSink) => ActiveRun,
): Started {
  const { text: _text, program: _program, files: _files, onOutput, ...request } = script;
  const directory = request.directory ?? makePayload(dataDir, script);
  const runId = request.runId ?? crypto.randomUUID();
  const { sink, said, output, logs } = recordingSink(onOutput);
  const active = start(
    {
      ...{ jobId: "job-1", taskIndex: 0, attempt: 1, target: "", input: null, options: {}, limits: {} },
      ...{ timeoutMs: 60_000, traceparent: null },
      ...request,
      ...{ runId, directory },
    },
    sink,
  );
  const done = active.done.then((ended) => ({ ...ended, said: said(), output: output(), logs, directory }));
  return { directory, runId, active, output, done };
}

function recordingSink(onOutput?: RunSink["output"]) {
  const said: string[] = [];
  const output: string[] = [];
  const logs: string[] = [];
  const sink: RunSink = {
    log: (level, text) => {
      logs.push(`${level}: ${text}`);
      said.push(`<${level}: ${text}>\n`);
    },
    output: (stream, text) => {
      output.push(text);
      said.push(text);
      return onOutput?.(stream, text);
    },
    progress: (fraction, text) => {
      said.push(`<${fraction}${text === undefined ? "" : ` ${text}`}>\n`);
    },
  };
  return { sink, said: () => said.join(""), output: () => output.join(""), logs };
}

/** The failure of an outcome, or what it was instead. */
export function failureOf(outcome: Outcome): string {
  return outcome.kind === "failed" ? outcome.error.code : outcome.kind;
}

export function messageOf(outcome: Outcome): string {
  if (outcome.kind === "failed") return outcome.error.message;
  return outcome.kind === "timed_out" ? outcome.message : "";
}

async function tryBwrap(): Promise<boolean> {
  if (Bun.which("bwrap") === null || !existsSync("/proc/self/ns")) return false;
  const dataDir = mkdtempSync(join(tmpdir(), "fairlead-trial-"));
  const tried = await chooseSandbox({ mode: "auto", loopback: false, embedded: false, tag: "try", dataDir }).catch(
    (): SandboxChoice | null => null,
  );
  await tried?.close();
  rmSync(dataDir, { recursive: true, force: true });
  return tried?.tier === "bwrap";
}

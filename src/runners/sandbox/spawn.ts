import { constants } from "node:os";
import type { Subprocess } from "bun";
import type { SandboxExit, Variables } from "./driver.ts";
import { faultMark, notStarted } from "./first-process.ts";
import { readProc } from "./processes.ts";
import { within } from "./within.ts";

const statusCharsMax = 4_096;
const statusEndMs = 250;
const bytesPerMb = 1_048_576;
const kilobytesPerMb = 1_024;
/** The kernel's counts of memory are kept per processor and only roughly exact. */
const surelyLarger = 1.25;
/** Second names of signals that have a better known one. */
const aliases = ["SIGIOT", "SIGPOLL"];
const signalNames = new Map(
  Object.entries(constants.signals).flatMap(([name, number]) => (aliases.includes(name) ? [] : [[number, name]])),
);
/** The shell reports every death by a signal in words, except these: an interrupt, a broken pipe and, where built so, a TERM. */
const unreportedSignals = new Set([15]);

export type Spawned = {
  readonly pid: number;
  readonly ready: Promise<boolean>;
  readonly exited: Promise<SandboxExit>;
  go(variables?: Variables): boolean;
  /** No `go` from now on. */
  forbid(): void;
  /** Closes the control channel. */
  release(): void;
  hasExited(): boolean;
};

export type SpawnOptions = {
  argv: string[];
  environment: Record<string, string>;
  stdout: number;
  /** From descriptor 3 on. */
  further: number[];
  account: { uid: number; gid: number } | null;
};

/** Starts the first process with its control and status channels. Spawn only from the main thread: the parent-death signal is the thread's. */
export function spawnFirst(options: SpawnOptions): Spawned {
  const child = Bun.spawn(options.argv, {
    stdio: ["pipe", options.stdout, "pipe", ...options.further],
    detached: true,
    env: options.environment,
    ...(options.account === null ? {} : { uid: options.account.uid, gid: options.account.gid }),
  });
  const serverPeakMb = peakOfServerMb();
  const status = readStatus(child.stderr);
  let isForbidden = false;
  return {
    pid: child.pid,
    ready: status.first,
    exited: child.exited.then(async () => describeExit(child, await status.whole(), serverPeakMb)),
    go: (variables = {}) => {
      const line = goLine(variables);
      if (isForbidden || child.exitCode !== null || child.signalCode !== null) return false;
      child.stdin.write(line);
      void ignoringClosed(child.stdin.flush());
      return true;
    },
    forbid: () => {
      isForbidden = true;
    },
    release: () => {
      void ignoringClosed(child.stdin.end());
    },
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
  };
}

function goLine(variables: Variables): string {
  const pairs = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const strange = pairs.find((pair) => !/^[A-Z_]+=[!-[\]-~]*$/.test(pair));
  if (strange !== undefined) throw new Error(`"${strange}" cannot be handed to a run that waits`);
  return `${["go", ...pairs].join(" ")}\n`;
}

/** The other end may close at any moment; that it did is told by the exit. */
async function ignoringClosed(write: unknown): Promise<void> {
  await Promise.allSettled([write]);
}

function describeExit(child: Subprocess, status: string, serverPeakMb: number): SandboxExit {
  const usage = child.resourceUsage();
  const maxRssMb = (usage?.maxRSS ?? 0) / bytesPerMb;
  const said = status.replace(/(^|\n)R\n/, "$1").trim();
  return {
    ...ending(child, said, isReady(status)),
    endedItself: child.exitCode !== null,
    cpuMs: usage === undefined ? null : Number(usage.cpuTime.total) / 1_000,
    maxRssMb: maxRssMb > serverPeakMb * surelyLarger ? maxRssMb : null,
  };
}

/** What a child shares until its `exec`, and the kernel then counts as its own peak. */
function peakOfServerMb(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readProc("/proc/self/status"))?.[1] ?? 0) / kilobytesPerMb;
}

/** What is said after `R` can only be the shell telling of a signal. */
function ending(child: Subprocess, said: string, wasReady: boolean): Pick<SandboxExit, "code" | "signal" | "fault"> {
  const { exitCode, signalCode } = child;
  if (exitCode === notStarted.noDirectory && said.startsWith(faultMark))
    return { code: exitCode, signal: null, fault: said.slice(faultMark.length) };
  if (!wasReady && signalCode === null)
    return { code: exitCode, signal: null, fault: said === "" ? `exit code ${exitCode}` : said };
  if (exitCode === null) return { code: null, signal: signalCode === null ? null : String(signalCode), fault: null };
  const signal = signalNames.get(exitCode - 128);
  const wasSignalled = signal !== undefined && (said !== "" || unreportedSignals.has(exitCode - 128));
  return wasSignalled ? { code: null, signal, fault: null } : { code: exitCode, signal: null, fault: null };
}

type Status = { first: Promise<boolean>; whole(): Promise<string> };

/** Reads the status channel to its end, so that nobody blocks on it; keeps the first characters. */
function readStatus(stream: ReadableStream<Uint8Array>): Status {
  let text = "";
  const { promise: first, resolve } = Promise.withResolvers<boolean>();
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text = (text + decoder.decode(chunk, { stream: true })).slice(0, statusCharsMax);
      if (isReady(text)) resolve(true);
    }
  };
  // A channel that breaks has said what it had to say.
  const ended = Promise.allSettled([read()]).then(() => resolve(isReady(text)));
  return {
    first,
    // A process that outlives the first one may hold the channel open, where no namespace ends it.
    whole: async () => {
      await within(statusEndMs, ended);
      return text;
    },
  };
}

function isReady(status: string): boolean {
  return status.startsWith("R\n") || status.includes("\nR\n");
}

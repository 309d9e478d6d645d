import type { Limits } from "../limits.ts";
import type { Freshness } from "./process-scan.ts";

/** The account a run is given on the host. `exclusive`: no other live run of this server has the same one. */
export type RunIdentity = { uid: number; gid: number; exclusive: boolean };

/** One command to start. File descriptors stay the caller's: they are duplicated into the child and may be closed after `start`. */
export type SandboxSpec = {
  runId: string;
  command: string[];
  /** The one place the command may write to that outlives it; also its working directory and HOME. */
  directory: string;
  /** Added to HOME, PATH and LANG; nothing else of the server's environment gets in. */
  environment: Record<string, string>;
  /** The limits in force. */
  limits: Limits;
  /** Account to run as when the server is root; null keeps the server's own. */
  identity: RunIdentity | null;
  /** Further host paths that are shown read-only under their own names. */
  readOnly: string[];
  /** For how long it may wait for `go`, beyond the time in which a sandbox comes up; 0 when absent. */
  idleS?: number;
  /** Control group that the process which waits for `go` is in before it is let go. */
  cgroup: string | null;
  /** The group's `entry`, through which the first process moves itself in; null when it is moved from outside. */
  cgroupEntry: number | null;
  stdin: number;
  stdout: number;
  stderr: number;
};

/** Names and values without blanks. */
export type Variables = Readonly<Record<string, string>>;

/** How the command ended. `fault` is set when the sandbox itself could not be set up or the limits not be applied. */
export type SandboxExit = {
  code: number | null;
  signal: string | null;
  fault: string | null;
  /** True when the first process came to its own end, false when it was killed from outside. */
  endedItself: boolean;
  /** CPU of all processes that were waited for. */
  cpuMs: number | null;
  /** The largest of them, unless it was smaller than the server itself: its size is inherited on the way to `exec`. */
  maxRssMb: number | null;
};

/**
 * A command in its sandbox. Nothing of the user's runs before `go`, so a run that is killed before that has run nothing.
 * `exited` never rejects.
 */
export type SandboxRun = {
  readonly pid: number;
  /** True when the sandbox stands and waits for `go`; false when it could not be set up. */
  readonly ready: Promise<boolean>;
  readonly exited: Promise<SandboxExit>;
  hasExited(): boolean;
  /** The process that waits for `go` and starts the command; null when it is gone. */
  waiting(): Promise<number | null>;
  /** Lets the command start, with these variables added to its environment; false when it was killed or died before. */
  go(variables?: Variables): boolean;
  /** TERM to everything the command started. */
  terminate(): Promise<void>;
  /** Processes of the run that are alive, as far as they can be known. */
  processes(freshness: Freshness): Promise<number[]>;
  /** Kills the whole tree and looks until nothing of it is left; resolves with how many would not die. */
  kill(): Promise<number>;
  /** The least that can be done when something of ours went wrong: the first process is killed, and nothing is looked at. */
  abandon(): void;
};

/** One way to isolate a command. `start` throws only when the process cannot be spawned at all. */
export type SandboxDriver = {
  readonly name: "bwrap" | "none";
  /** Whether `limits.network: false` is really enforced. */
  readonly cutsNetwork: boolean;
  /** Whether the first process's own end is the end of every process of the run. */
  readonly endsWhole: boolean;
  /** Whether a sandbox may stand for a while before it is known what will run in it. */
  readonly raisesAhead: boolean;
  /** Runs the driver for real; null when it holds what it promises, else what is wrong and how to mend it. */
  probe(): Promise<string | null>;
  start(spec: SandboxSpec): SandboxRun;
};

/** Not settings: what every tier gives a command, whatever its job asks for. */
export const fixedLimits = {
  openFiles: 1_024,
  temporaryMb: 256,
  sharedMemoryMb: 64,
  niceness: 10,
} as const;

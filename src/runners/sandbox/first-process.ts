import type { Limits } from "../limits.ts";
import { fixedLimits, type SandboxSpec } from "./driver.ts";

/** File descriptors the first process is started with, beside 0 (control), 1 (stdout) and 2 (status). */
export const descriptors = { stderr: 3, stdin: 4, cgroupEntry: 5 } as const;

/** What is handed over from descriptor 3 on; further ones of a driver come after it. */
export function handedOver({ stderr, stdin, cgroupEntry }: SandboxSpec): number[] {
  return [stderr, stdin, ...(cgroupEntry === null ? [] : [cgroupEntry])];
}

/** Before what went wrong between `R` and the start of the command. */
export const faultMark = "fault: ";

/** Exit codes of the first process itself, used only before the command runs. */
export const notStarted = { noGo: 111, noLimits: 112, noDirectory: 113, noCgroup: 114 } as const;

const bytesPerMb = 1_048_576;
const kilobytesPerMb = 1_024;

/** dash starts in a third of bash's time; what they call the same limits differs. File sizes are counted in `fileUnit` bytes. */
const dialects = {
  dash: { arguments: ["-c"], processes: "-p", fileUnit: 512 },
  bash: { arguments: ["--norc", "--noprofile", "-c"], processes: "-u", fileUnit: 1_024 },
} as const;

export type Shell = { path: string; dialect: keyof typeof dialects };

/** What PID 1 of a namespace is told when the others are sent TERM. No script sends it to its own process group. */
export const stoppingSignal = "SIGURG";

export type FirstProcess = {
  /** As the first process sees it. */
  shell: Shell;
  token: string;
  command: string[];
  /** Where to go once it may. Before that the directory may be closed to it. */
  directory: string;
  limits: Limits;
  /** `RLIMIT_NPROC`, where the count may include processes that are not the run's. */
  processes: number;
  /** `RLIMIT_DATA` in MiB, or null where a control group bounds the memory of all processes together. */
  dataMb: number | null;
  /** True when it is handed the way into its control group and goes in. */
  entersCgroup: boolean;
  /** True when it is process 1 of its own namespace, so that its end is the end of every other process. */
  isInit: boolean;
  /** What a run without a namespace kills when the server dies. */
  onOrphaned: "nothing" | "tagged" | "whole account";
};

/** What one process may hold where a watcher bounds the sum: somewhat more, so that the watcher says why the run ended. */
export function dataMbFor(limits: Limits): number {
  return Math.ceil(limits.memoryMb * 1.25);
}

/**
 * The arguments of the shell that becomes the first process of a run. It enters its control group, sets the limits, says
 * `R` on the status channel, waits for `go` and variables on the control channel, goes to the directory, runs the command
 * without either channel, and ends with its code. A death by a signal is also said on the status channel, in the shell's words.
 */
export function firstProcess(of: FirstProcess): string[] {
  const { arguments: options } = dialects[of.shell.dialect];
  return [of.shell.path, ...options, text(of), of.token, ...of.command];
}

function text(of: FirstProcess): string {
  return [
    ...(of.entersCgroup ? cgroupLines : []),
    ...limitLines(of),
    `trap 'stopping=1' ${of.isInit ? stoppingSignal.slice("SIG".length) : "TERM"}`,
    "echo R >&2",
    `read -r word variables; [ "$word" = go ] || exit ${notStarted.noGo}`,
    `set -f; for pair in $variables; do export "$pair"; done; set +f`,
    ...directoryLines(of.directory),
    ...orphanLines(of.onOrphaned),
    // In a subshell, or dash would say "Killed" into the command's own stderr.
    `(${of.isInit ? foundLine : ""}exec "$@" 0<&${descriptors.stdin} 2>&${descriptors.stderr} ${closing(descriptors.stdin)} ${closing(descriptors.stderr)})`,
    "code=$?",
    ...(of.isInit ? lingerLines : releaseLines),
    "exit $code",
  ].join("\n");
}

/** dash would put its own name, which is the token, before what it says of a command that is not there. */
const foundLine = `command -v -- "$1" >/dev/null || [ -e "$1" ] || { echo "$1: command not found" >&${descriptors.stderr}; exit 127; }; `;

/** The command must never have the way in: it is closed for good before there is one. */
const cgroupLines = [
  `echo 0 2>/dev/null >&${descriptors.cgroupEntry} || { echo "cannot enter the control group" >&2; exit ${notStarted.noCgroup}; }`,
  `exec ${closing(descriptors.cgroupEntry)}`,
];

/**
 * A limit that cannot be set is fine only when the one that is already there is lower. `-H -t` leaves two seconds
 * between the signal that a program may handle and the one it may not.
 */
function limitLines(of: FirstProcess): string[] {
  const { processes, fileUnit } = dialects[of.shell.dialect];
  const wanted: [option: string, value: number][] = [
    ["-c", 0],
    ["-n", fixedLimits.openFiles],
    ["-f", (of.limits.fileMb * bytesPerMb) / fileUnit],
    ...(of.dataMb === null ? [] : [["-d", of.dataMb * kilobytesPerMb] satisfies [string, number]]),
    ["-S -t", of.limits.cpuS],
    ["-H -t", of.limits.cpuS + 2],
    [processes, of.processes],
  ];
  return wanted.map(
    ([option, value]) =>
      `ulimit ${option} ${value} 2>/dev/null || { has=$(ulimit ${option}); [ "$has" != unlimited ] && [ "$has" -le ${value} ]; } || { echo "cannot set the limit ulimit ${option} ${value}" >&2; exit ${notStarted.noLimits}; }`,
  );
}

/** The control channel ends when the server does. Whatever can be found of the run is then killed without it. */
function orphanLines(kill: FirstProcess["onOrphaned"]): string[] {
  if (kill === "nothing") return [];
  const everyone =
    kill === "whole account"
      ? "kill -KILL -1"
      : `for at in $(grep -lsz "^FAIRLEAD_RUN=$0\\$" /proc/[0-9]*/environ); do at=\${at#/proc/}; [ "\${at%/environ}" = "$BASHPID" ] || kill -KILL "\${at%/environ}"; done`;
  return [
    `{ trap '' TERM; while read -r word; do :; done; for round in 1 2 3; do ${everyone}; done; } <&0 >/dev/null 2>&1 ${closing(descriptors.stdin)} ${closing(descriptors.stderr)} &`,
    "waiter=$!",
  ];
}

/** After a TERM the other processes get their grace too: the end of process 1 would kill them at once. */
const lingerLines = [`[ -z "$stopping" ] || while kill -0 -1 2>/dev/null; do sleep 0.02; done`];

/** What waits for the server's end is done; its death must not be told on the status channel. */
const releaseLines = ["exec 2>/dev/null", `kill -KILL "$waiter"; wait "$waiter"`];

function directoryLines(directory: string): string[] {
  const quoted = `'${directory.replaceAll("'", "'\\''")}'`;
  const noWay = `echo "${faultMark}cannot enter the directory" >&2; exit ${notStarted.noDirectory}`;
  return [`cd -- ${quoted} 2>/dev/null || { ${noWay}; }`, "unset OLDPWD"];
}

function closing(descriptor: number): string {
  return `${descriptor}<&-`;
}

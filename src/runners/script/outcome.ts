import { lstatSync } from "node:fs";
import { constants } from "node:os";
import type { Failure, Outcome, RunFacts, StopReason } from "../contract.ts";
import type { SandboxedEnd } from "../sandbox/supervise.ts";
import { scriptName } from "./read-script.ts";

/** What a shell adds to a signal's number when it reports the end of a program. */
const signalBase = 128;
const fileSizeCode = signalBase + constants.signals.SIGXFSZ;
const cpuTimeCode = signalBase + constants.signals.SIGXCPU;

/** The outcome of a script from how its run ended: why we stopped it comes first, then what the machine did, then its code. */
export function outcomeOf(end: SandboxedEnd, directory: string): Outcome {
  if (end.fault !== null) return failed("runner_error", `the sandbox could not be set up: ${end.fault}`);
  if (end.reason !== null) return stopped(end.reason, end.facts.exitCode);
  const { exitCode } = end.facts;
  // Also when the script went on and ended well: a pipe whose middle was killed gives half a result and exit code 0.
  if (end.outOfMemoryKills > 0) return failed("out_of_memory", outOfMemory(end), exitCode);
  if (exitCode !== 0) return failedByItself(end.facts, exitCode);
  if (!isDirectory(directory))
    return failed("invalid", `${scriptName} deleted its own directory, so nothing is left to keep`, exitCode);
  return { kind: "succeeded", output: { exit_code: 0 } };
}

function stopped(reason: StopReason, exitCode: number | null): Outcome {
  switch (reason) {
    case "cancelled":
      return { kind: "cancelled" };
    case "interrupted":
    case "fenced":
      return { kind: "interrupted" };
    case "timed_out":
      return { kind: "timed_out", message: `${scriptName} was stopped because its time was over` };
    default:
      return stoppedFor(reason, exitCode);
  }
}

function stoppedFor({ code, message }: Failure, exitCode: number | null): Outcome {
  const text = `${scriptName} was stopped: ${message}`;
  return code === "timed_out" ? { kind: "timed_out", message: text } : failed(code, text, exitCode);
}

function outOfMemory({ outOfMemoryKills, facts }: SandboxedEnd): string {
  const killed = outOfMemoryKills === 1 ? "a process of it was" : `${outOfMemoryKills} processes of it were`;
  return `${scriptName} needed more than its ${facts.limits?.memoryMb} MiB of memory, and ${killed} killed`;
}

function failedByItself(facts: RunFacts, exitCode: number | null): Outcome {
  const { signal, limits } = facts;
  if (usedItsCpu(facts, exitCode))
    return { kind: "timed_out", message: `${scriptName} was stopped: it used its ${limits?.cpuS} s of CPU time` };
  if (signal === "SIGXFSZ" || exitCode === fileSizeCode)
    return failed("file_limit", `${scriptName} tried to write a file of more than ${limits?.fileMb} MiB`, exitCode);
  if (signal !== null) return failed("killed_by_signal", `${scriptName} was killed by ${signal}`);
  return failed("exit_nonzero", `${scriptName} exited with code ${exitCode}${explained(exitCode ?? 0)}`, exitCode);
}

/** The kernel sends SIGXCPU at the limit, and SIGKILL two seconds later to a program that ignores it. */
function usedItsCpu({ signal, cpuMs, limits }: RunFacts, exitCode: number | null): boolean {
  if (signal === "SIGXCPU" || exitCode === cpuTimeCode) return true;
  const wasKilled = signal === "SIGKILL" || exitCode === signalBase + constants.signals.SIGKILL;
  return wasKilled && cpuMs !== null && limits?.cpuS !== undefined && cpuMs >= limits.cpuS * 1_000;
}

function explained(exitCode: number): string {
  if (exitCode === 126) return " (a command was found but could not be executed; the end of the output names it)";
  if (exitCode === 127) return " (a command was not found; the end of the output names it)";
  const signal = Object.entries(constants.signals).find(([, number]) => number === exitCode - signalBase)?.[0];
  return signal === undefined ? "" : ` (a program it ran was killed by ${signal})`;
}

/** The script could also have put something else in its place. */
function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function failed(code: Failure["code"], message: string, exitCode: number | null = null): Outcome {
  const error = { code, message };
  return exitCode === null ? { kind: "failed", error } : { kind: "failed", error, output: { exit_code: exitCode } };
}

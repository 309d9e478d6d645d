import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tokenVariable } from "./tag.ts";

/** Every process below `pid`, parents first; empty when it is gone. Children of all its threads count. */
export function descendantsOf(pid: number): number[] {
  const found: number[] = [];
  const waiting = childrenOf(pid);
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    found.push(next);
    waiting.push(...childrenOf(next));
  }
  return found;
}

export function childrenOf(pid: number): number[] {
  if (!kernelListsChildren()) return processIds().filter((candidate) => parentOf(candidate) === pid);
  return tasksOf(pid).flatMap((task) => numbersIn(readProc(`/proc/${pid}/task/${task}/children`)));
}

/** Processes whose arguments or environment carry a token that starts with `prefix`; never this process itself. */
export function processesTagged(prefix: string): number[] {
  return processIds().filter((pid) => pid !== process.pid && isTagged(pid, prefix));
}

/** Processes that run as `uid`. */
export function processesOf(uid: number): number[] {
  return processIds().filter((pid) => readProc(`/proc/${pid}/status`).includes(`\nUid:\t${uid}\t`));
}

export function processIds(): number[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/** False when there is no such process any more, or it is not ours to signal. */
export function signalProcess(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    // ESRCH and EPERM both mean that there is nothing of ours under this number.
    return false;
  }
}

/** The file's text; empty when the process has ended or may not be read. Files below /proc vanish at any moment. */
export function readProc(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // The process ended between two looks, which is an ordinary answer here.
    return "";
  }
}

/** Tells a process from a later one with the same number; empty when there is none. */
export function startTimeOf(pid: number): string {
  return statFieldsOf(pid)[19] ?? "";
}

/** A process that has ended and only waits to be collected no longer counts. */
export function isAlive(pid: number): boolean {
  const state = statFieldsOf(pid)[0] ?? "";
  return state !== "" && state !== "Z" && state !== "X";
}

/** A part of the kernel that may have been left out when it was built; asking each process for its parent is slower. */
function kernelListsChildren(): boolean {
  return existsSync(`/proc/${process.pid}/task/${process.pid}/children`);
}

function parentOf(pid: number): number {
  return Number(statFieldsOf(pid)[1]);
}

/** What the kernel tells of a process from its state on (field 3 of proc_pid_stat(5)); empty when it is gone. */
export function statFieldsOf(pid: number): string[] {
  const stat = readProc(`/proc/${pid}/stat`);
  // The name before it may hold spaces and brackets.
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function isTagged(pid: number, prefix: string): boolean {
  const commandLine = `\0${readProc(`/proc/${pid}/cmdline`)}`;
  if (commandLine.includes(`\0${prefix}`)) return true;
  return `\0${readProc(`/proc/${pid}/environ`)}`.includes(`\0${tokenVariable}=${prefix}`);
}

function tasksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    // The process ended; it has no threads and no children.
    return [];
  }
}

function numbersIn(text: string): number[] {
  return text.split(" ").filter(Boolean).map(Number);
}

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type Freshness, readEach, sharedScan } from "./process-scan.ts";
import { tokenStart, tokenVariable } from "./tag.ts";

const nextNumbers = 16;
let listsChildren: boolean | null = null;
const scanParents = sharedScan(async () => pidsBy(await readEach(parentOf)));
const scanOwners = sharedScan(async () => pidsBy(await readEach(ownerOf)));
const scanTokens = sharedScan(() => readEach(tokensOf));

/** Every process below `pid`, parents first; empty when it is gone. Children of all its threads count. */
export async function descendantsOf(pid: number, freshness: Freshness = "now"): Promise<number[]> {
  const childrenOf = await childLists(freshness);
  const found: number[] = [];
  const waiting = childrenOf(pid);
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    found.push(next);
    waiting.push(...childrenOf(next));
  }
  return found;
}

/** The one child of a process that has just made it; null when there is none. */
export async function onlyChildOf(pid: number): Promise<number | null> {
  // Numbers are given in turn: to ask the next few costs nothing beside asking everybody.
  if (!kernelListsChildren())
    for (let next = pid + 1; next <= pid + nextNumbers; next++) if (parentOf(next) === pid) return next;
  return (await childLists("now"))(pid)[0] ?? null;
}

/** Processes whose arguments or environment carry a token that starts with `prefix`; never this process itself. */
export async function processesTagged(prefix: string, freshness: Freshness = "now"): Promise<number[]> {
  const isTagged = (tokens: string[]) => tokens.some((token) => token.startsWith(prefix));
  const all = await scanTokens(freshness);
  return [...all].flatMap(([pid, tokens]) => (pid !== process.pid && isTagged(tokens) ? [pid] : []));
}

/** Processes that run as `uid`. */
export async function processesOf(uid: number, freshness: Freshness = "now"): Promise<number[]> {
  return (await scanOwners(freshness)).get(uid) ?? [];
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

/** Where the kernel lists the children of a process it is asked for them; else everyone is asked for its parent. */
async function childLists(freshness: Freshness): Promise<(pid: number) => number[]> {
  if (kernelListsChildren())
    return (pid) => tasksOf(pid).flatMap((task) => numbersIn(readProc(`/proc/${pid}/task/${task}/children`)));
  const children = await scanParents(freshness);
  return (pid) => [...(children.get(pid) ?? [])];
}

/** A part of the kernel that may have been left out when it was built. */
function kernelListsChildren(): boolean {
  listsChildren ??= existsSync(`/proc/${process.pid}/task/${process.pid}/children`);
  return listsChildren;
}

/** Null when the process is gone. */
export function parentOf(pid: number): number | null {
  const parent = statFieldsOf(pid)[1];
  return parent === undefined ? null : Number(parent);
}

function ownerOf(pid: number): number | null {
  const uid = /\nUid:\t(\d+)\t/.exec(readProc(`/proc/${pid}/status`))?.[1];
  return uid === undefined ? null : Number(uid);
}

/** All of them: one that a run made up must not hide the one it was given. */
function tokensOf(pid: number): string[] | null {
  const tokens = [
    ...tokensIn(readProc(`/proc/${pid}/cmdline`), ""),
    ...tokensIn(readProc(`/proc/${pid}/environ`), `${tokenVariable}=`),
  ];
  return tokens.length === 0 ? null : tokens;
}

function tokensIn(list: string, before: string): string[] {
  const start = `${before}${tokenStart}`;
  if (!list.includes(start)) return [];
  const marked = list.split("\0").filter((entry) => entry.startsWith(start));
  return marked.map((entry) => entry.slice(before.length));
}

/** What the kernel tells of a process from its state on (field 3 of proc_pid_stat(5)); empty when it is gone. */
export function statFieldsOf(pid: number): string[] {
  const stat = readProc(`/proc/${pid}/stat`);
  // The name before it may hold spaces and brackets.
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function pidsBy(values: Map<number, number>): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (const [pid, value] of values) groups.set(value, [...(groups.get(value) ?? []), pid]);
  return groups;
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

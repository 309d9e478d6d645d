import { readdirSync, readFileSync } from "node:fs";

// Far above any sane function; keeps a fork bomb from holding the walk for ever.
const membersMax = 10_000;

/**
 * Kills a process that leads its own group, and everything that came from it. On Linux that includes children which left
 * the group: each is stopped before its children are listed, so that none is born behind the walk. Elsewhere the group.
 */
export function killTree(leader: number): void {
  for (const member of stoppedTree(leader)) send(member, "SIGKILL");
  killGroup(leader);
}

/** Kills what is left of a group whose leader has ended. */
export function killGroup(leader: number): void {
  send(-leader, "SIGKILL");
}

function stoppedTree(leader: number): number[] {
  const members = [leader];
  for (let at = 0; at < members.length && members.length < membersMax; at += 1) {
    const member = members[at];
    if (member === undefined || !send(member, "SIGSTOP")) continue;
    members.push(...childrenOf(member));
  }
  return members;
}

function childrenOf(pid: number): number[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8"));
    return lists.flatMap((list) => list.split(" ").filter(Boolean).map(Number));
  } catch {
    // The process or one of its threads ended meanwhile, or this system has no /proc; the group is killed in any case.
    return [];
  }
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    // ESRCH: it is gone already, which is what was wanted.
    return false;
  }
}

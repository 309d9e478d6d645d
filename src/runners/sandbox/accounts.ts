import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import type { RunIdentity } from "./driver.ts";

/** Numbers that no account on the machine has: above what user namespaces of systemd use, and a range for small containers. */
const ranges = [
  { first: 1_900_000_000, count: 65_536 },
  { first: 61_184, count: 4_300 },
];

export type AccountRange = { first: number; count: number };

/** Hands out host accounts when the server is root, so that no two live runs share one by chance. */
export type Accounts = {
  /** `uid` when the payload has been run before and belongs to it; else a free one. */
  take(uid: number | null): RunIdentity;
  give(identity: RunIdentity): void;
  owns(uid: number): boolean;
};

/** Null where the server has no numbers to give: it is not root, or root of a namespace with too few accounts. */
export function findAccountRange(): AccountRange | null {
  if (process.getuid?.() !== 0) return null;
  const mapped = readFileSync("/proc/self/uid_map", "utf8").trim().split("\n").map(mappedRange);
  return ranges.find((range) => mapped.some((map) => isWithin(range, map))) ?? null;
}

export function createAccounts(range: AccountRange): Accounts {
  const live = new Map<number, number>();
  const owns = (uid: number) => uid >= range.first && uid < range.first + range.count;
  return {
    owns,
    take: (uid) => {
      const chosen = uid ?? freeOne(range, live);
      const users = live.get(chosen) ?? 0;
      live.set(chosen, users + 1);
      return { uid: chosen, gid: chosen, exclusive: users === 0 };
    },
    give: ({ uid }) => {
      const users = (live.get(uid) ?? 1) - 1;
      if (users === 0) live.delete(uid);
      else live.set(uid, users);
    },
  };
}

function freeOne(range: AccountRange, live: Map<number, number>): number {
  for (;;) {
    const candidate = range.first + randomInt(range.count);
    if (!live.has(candidate)) return candidate;
  }
}

function mappedRange(line: string): AccountRange {
  const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
  return { first, count };
}

function isWithin(range: AccountRange, map: AccountRange): boolean {
  return range.first >= map.first && range.first + range.count <= map.first + map.count;
}

import { chmodSync, existsSync, lstatSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { copyTree, type Stamps, stampOf } from "./copy-tree.ts";

/**
 * What runs see of /etc, in a directory of its own that is mounted at once: piece by piece it would be a dozen mounts,
 * which are a millisecond of every run.
 */
export type EtcCopies = {
  /** A copy of what is there now, or was a second ago; null while it is made, and where it cannot be, to be mounted piece by piece. */
  take(): EtcCopy | null;
  /** Until the copy that is being made is there. */
  settled(): Promise<void>;
};

/** Stays as it is until it is given back. */
export type EtcCopy = { readonly directory: string; giveBack(): void };

type Version = { directory: string; stamps: Stamps; users: number };

const lookAgainMs = 1_000;
const entriesMax = 20_000;
const bytesMax = 33_554_432;

export type EtcParts = {
  /** Names below /etc; those that are missing are left out. */
  shown: readonly string[];
  /** Files of ours beside them, by name. */
  own: Record<string, string>;
  /** The machine's, unless it is a trial. */
  etc?: string;
};

/** `parent` is where copies are made: a directory that belongs to the server and that runs can reach. */
export function createEtcCopies(parent: string, parts: EtcParts): EtcCopies {
  let current: Version | null = null;
  let making: Promise<void> | null = null;
  let isGivenUp = false;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let made = 0;
  const removeUnused = (version: Version) => {
    if (version === current || version.users > 0) return;
    // What cannot be removed goes with the whole of `parent` in the end.
    void Promise.allSettled([rm(version.directory, { recursive: true, force: true })]);
  };
  const make = async () => {
    current = await tryCopy(join(parent, String(++made)), parts);
    isGivenUp = current === null;
    lookedAt = performance.now();
    making = null;
  };
  const lookAgain = () => {
    const before = current;
    lookedAt = performance.now();
    if (before !== null && isAsItWas(before.stamps)) return;
    current = null;
    if (before !== null) removeUnused(before);
    making = make();
  };
  lookAgain();
  return {
    settled: async () => {
      await making;
    },
    take: () => {
      const isDue = performance.now() - lookedAt >= lookAgainMs;
      if (isDue && making === null && !isGivenUp) lookAgain();
      const version = current;
      if (version === null) return null;
      version.users++;
      let isTaken = true;
      const giveBack = () => {
        if (isTaken) version.users--;
        isTaken = false;
        removeUnused(version);
      };
      return { directory: version.directory, giveBack };
    },
  };
}

/** Null when something of it is unreadable, no file, or more than a copy is good for. */
async function tryCopy(directory: string, parts: EtcParts): Promise<Version | null> {
  try {
    return { directory, stamps: await copyEtc(directory, parts), users: 0 };
  } catch {
    // The pieces are mounted then, which asks less of them. What was copied goes with the whole of `parent`.
    return null;
  }
}

async function copyEtc(directory: string, { shown, own, etc = "/etc" }: EtcParts): Promise<Stamps> {
  const stamps: Stamps = new Map();
  const left = { entries: entriesMax, bytes: bytesMax };
  makeOpen(directory);
  for (const name of shown) {
    const source = join(etc, name);
    const found = lstatSync(source, { throwIfNoEntry: false });
    stamps.set(source, stampOf(found));
    if (found === undefined || !existsSync(source)) continue;
    makeOpenBelow(directory, dirname(name));
    // A mount would show what a link leads to.
    await copyTree(realpathSync(source), join(directory, name), left, stamps);
  }
  for (const [name, text] of Object.entries(own)) {
    writeFileSync(join(directory, name), text);
    chmodSync(join(directory, name), 0o644);
  }
  stamps.set(directory, stampOf(lstatSync(directory)));
  return stamps;
}

function makeOpenBelow(directory: string, below: string): void {
  if (below === "." || existsSync(join(directory, below))) return;
  makeOpenBelow(directory, dirname(below));
  makeOpen(join(directory, below));
}

/** Whatever the server's mask says: a run may be another account's. */
function makeOpen(directory: string): void {
  mkdirSync(directory);
  chmodSync(directory, 0o755);
}

function isAsItWas(stamps: Stamps): boolean {
  return [...stamps].every(([path, stamp]) => stampOf(lstatSync(path, { throwIfNoEntry: false })) === stamp);
}

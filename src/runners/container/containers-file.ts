import { readFileSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { EngineError, type Problem } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { ContainerDefinition } from "./definition.ts";
import { readContainers } from "./read-containers.ts";

export type Containers = ReadonlyMap<string, ContainerDefinition>;

/** The containers file while the server runs. `current()` is the last good state; `problems()` says what is wrong with a newer one. */
export type ContainersFile = {
  current(): Containers;
  problems(): Problem[];
  close(): void;
};

type Options = {
  path: string;
  log: Log;
  /** Called after a change was taken over. */
  onChange: (containers: Containers) => void;
  pollMs?: number;
};

const bytesMax = 4 * 1024 * 1024;
const absent = "absent";

/**
 * Reads the file and looks for changes every `pollMs` (1,000): polling also sees replaced files, links and mounts, which file events miss.
 * At start a missing file means no containers and a broken one is an `EngineError("invalid")` with every problem. Later a broken or
 * vanished file changes nothing but `problems()`.
 */
export function openContainersFile(options: Options): ContainersFile {
  const path = resolve(options.path);
  let stamp = stampOf(path);
  let current: Containers = stamp === absent ? new Map() : readAtStart(path);
  let problems: Problem[] = [];
  const take = (seen: string) => {
    if (seen === stamp) return;
    stamp = seen;
    const next = seen === absent ? vanished() : readFile(path);
    problems = next.problems;
    if (problems.length > 0) {
      options.log.error("containers.broken", { path, problems: inWords(problems) });
      return;
    }
    current = next.containers;
    options.log.info("containers.loaded", { path, containers: current.size });
    options.onChange(current);
  };
  const stop = poll(path, options.pollMs ?? 1_000, take);
  return { current: () => current, problems: () => problems, close: stop };
}

function poll(path: string, everyMs: number, take: (stamp: string) => void): () => void {
  let isClosed = false;
  const look = async () => {
    const seen = await stampLater(path);
    if (!isClosed) take(seen);
  };
  const timer = setInterval(() => void look(), everyMs);
  timer.unref();
  return () => {
    isClosed = true;
    clearInterval(timer);
  };
}

function readAtStart(path: string): Containers {
  const { containers, problems } = readFile(path);
  if (problems.length === 0) return containers;
  const count = `${problems.length} problem${problems.length === 1 ? "" : "s"}`;
  throw new EngineError("invalid", `The containers file ${path} has ${count}:\n${inWords(problems)}`, { problems });
}

function readFile(path: string): { containers: Containers; problems: Problem[] } {
  try {
    if (statSync(path).size > bytesMax) {
      return { containers: new Map(), problems: [{ pointer: "", detail: `must have at most ${bytesMax} bytes` }] };
    }
    return readContainers(readFileSync(path, "utf8"), path);
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    return { containers: new Map(), problems: [{ pointer: "", detail: `cannot be read: ${reason}` }] };
  }
}

function vanished(): { containers: Containers; problems: Problem[] } {
  const detail = "is gone: put it back, or write [] into it to have no containers";
  return { containers: new Map(), problems: [{ pointer: "", detail }] };
}

function inWords(problems: Problem[]): string {
  return problems.map(({ pointer, detail }) => `  ${pointer === "" ? "the file" : pointer} ${detail}`).join("\n");
}

type Stat = { mtimeMs: number; size: number; ino: number };
const inStamp = (found: Stat) => `${found.mtimeMs}:${found.size}:${found.ino}`;

function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? absent : inStamp(found);
}

async function stampLater(path: string): Promise<string> {
  try {
    return inStamp(await stat(path));
  } catch {
    // Whatever keeps the file from being seen (gone, no rights) is one answer: there is none now.
    return absent;
  }
}

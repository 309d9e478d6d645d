import { dirname, join } from "node:path";
import { statSync } from "node:fs";
import { asBun } from "../../carried.ts";
import type { RunRequest } from "../contract.ts";
import { insideDirectory } from "../sandbox/bwrap-arguments.ts";
import { isReachable } from "../sandbox/reachable.ts";
import type { ExecContainer } from "./definition.ts";
import { copySmall } from "./exec-scratch.ts";
import type { Link } from "./link.ts";

/** How a container's command is started in the sandbox. */
export type ExecCommand = { command: string[]; environment: Record<string, string>; readOnly: string[] };

type Place = {
  scratch: string;
  /** Whether it runs as an account without any rights of its own. */
  isForeign: boolean;
  /** Whether the sandbox has a view of its own of some directories. */
  isIsolated: boolean;
};

// What is mounted over the machine's own, with what the links there lead to.
const coveredTrees = [insideDirectory, "/tmp", "/var/tmp", "/dev", "/proc"];
const copyName = "container";
const inDirectory = 'cd -- "$FAIRLEAD_DIRECTORY" && exec "$@"';

/**
 * The command with what it is told and shown: `FAIRLEAD_*` says what the container protocol carries beside `data`; its directory is
 * read-only and where it starts; `bun` is the Bun that runs the server. Throws with the fix when something cannot be shown to it.
 */
export function execCommand(container: ExecContainer, request: RunRequest, link: Link, place: Place): ExecCommand {
  const environment: Record<string, string> = { ...container.env, ...protocolVariables(container, request, link) };
  const readOnly: string[] = [];
  let command = container.command;
  if (command[0] === "bun") {
    command = [showBun(place), ...command.slice(1)];
    Object.assign(environment, asBun());
    readOnly.push(process.execPath);
  }
  if (container.directory !== null) {
    environment.FAIRLEAD_DIRECTORY = showDirectory(container.directory, place, readOnly);
    command = ["/bin/sh", "-c", inDirectory, "sh", ...command];
  }
  return { command, environment, readOnly };
}

function protocolVariables(container: ExecContainer, request: RunRequest, link: Link): Record<string, string> {
  return {
    FAIRLEAD_CONTAINER: container.id,
    FAIRLEAD_JOB_ID: request.jobId,
    FAIRLEAD_ATTEMPT: String(request.attempt),
    FAIRLEAD_SOURCE: String(link.source),
    FAIRLEAD_DESTINATION: link.isStream ? "2" : "1",
    FAIRLEAD_REQUIRES_PROOF: String(link.requiresProof),
    ...(link.traceparent === null ? {} : { TRACEPARENT: link.traceparent }),
  };
}

function showBun(place: Place): string {
  const path = process.execPath;
  const problem = hiddenBecause(dirname(path), place);
  if (problem === null) return path;
  throw new Error(`Bun itself is at ${path}, where ${problem}: install it elsewhere, such as /usr/local/bin`);
}

/** Where the command finds its directory: its own path, or a copy in the scratch directory when that path is hidden from it. */
function showDirectory(directory: string, place: Place, readOnly: string[]): string {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Error(`its directory ${directory} is not there: make it, or correct \`directory\``);
  }
  const problem = hiddenBecause(directory, place);
  if (problem === null) {
    readOnly.push(directory);
    return directory;
  }
  const tooLarge = copySmall(directory, join(place.scratch, copyName));
  if (tooLarge === null) return copyName;
  throw new Error(
    `its directory is at ${directory}, where ${problem}; as it ${tooLarge}, it is not copied: put it elsewhere`,
  );
}

function hiddenBecause(directory: string, { isForeign, isIsolated }: Place): string | null {
  const covered = coveredTrees.find((tree) => directory === tree || directory.startsWith(`${tree}/`));
  if (isIsolated && covered !== undefined) return `the sandbox has a ${covered} of its own`;
  return isForeign && !isReachable(directory) ? "the accounts of runs cannot enter" : null;
}

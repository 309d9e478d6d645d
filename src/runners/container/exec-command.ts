import { dirname, join } from "node:path";
import { statSync } from "node:fs";
import type { RunRequest } from "../contract.ts";
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
};

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
  };
}

function showBun({ isForeign }: Place): string {
  const path = process.execPath;
  if (!isForeign || isReachable(dirname(path))) return path;
  throw new Error(
    `the accounts of runs cannot enter the directory of Bun (${path}): install Bun where others may enter, such as /usr/local/bin`,
  );
}

/** Where the command finds its directory: its own path, or a copy in the scratch directory when that path is closed to it. */
function showDirectory(directory: string, { isForeign, scratch }: Place, readOnly: string[]): string {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Error(`its directory ${directory} is not there: make it, or correct \`directory\``);
  }
  if (!isForeign || isReachable(directory)) {
    readOnly.push(directory);
    return directory;
  }
  const problem = copySmall(directory, join(scratch, copyName));
  if (problem === null) return copyName;
  throw new Error(
    `the accounts of runs cannot enter ${directory}, and it ${problem}, so it is not copied: put it where others may enter`,
  );
}

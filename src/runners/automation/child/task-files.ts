import { lstatSync, mkdirSync, realpathSync } from "node:fs";
import { copyFile, rename, unlink } from "node:fs/promises";
import { isAbsolute, join, sep } from "node:path";
import { AutomationFault } from "../automation-fault.ts";
import { freeName, safeName } from "./file-names.ts";

const parts = ["downloads", "logs", "trajectory", "screenshots"] as const;
type Part = (typeof parts)[number];

/** The directories of one task: `downloads/ logs/ trajectory/ screenshots/` below the payload's own. */
export class TaskFiles {
  constructor(
    readonly directory: string,
    readonly uploadDirectories: string[],
  ) {
    for (const part of ["downloads", "logs", "trajectory"] as const) this.path(part);
  }

  /** The directory, made when it is missing. A link in its place is refused: it could lead anywhere. */
  path(part: Part): string {
    const path = join(this.directory, part);
    mkdirSync(path, { recursive: true });
    if (!lstatSync(path).isDirectory()) {
      throw new AutomationFault(`"${part}" in the payload is not a directory, but the automation has to write there`, {
        code: "invalid",
      });
    }
    return path;
  }

  /** A path in `part` that is not taken, for a name that a page or document proposes, and that name. */
  place(part: Part, proposed: string, fallback: string): { path: string; name: string } {
    const directory = this.path(part);
    const name = freeName(directory, safeName(proposed, fallback));
    return { path: join(directory, name), name };
  }

  /** The real path of a file that may be uploaded. Throws `AutomationFault` when it is elsewhere or not there. */
  uploadable(path: string): string {
    const allowed = [this.directory, ...this.uploadDirectories].flatMap((directory) => realPath(directory) ?? []);
    const candidates = isAbsolute(path) ? [path] : allowed.map((directory) => join(directory, path));
    const found = candidates
      .map(realPath)
      .find((real) => real !== null && allowed.some((directory) => real.startsWith(directory + sep)));
    if (found === undefined || found === null) {
      throw new AutomationFault(
        `the file "${path}" cannot be uploaded: it must be a file of the payload or lie in AUTOMATIONS_DIR; use file_url for files elsewhere`,
      );
    }
    return found;
  }
}

/** Moves a file, also between file systems. */
export async function moveFile(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (fault) {
    if (!(fault instanceof Error && "code" in fault && fault.code === "EXDEV")) throw fault;
    await copyFile(from, to);
    await unlink(from);
  }
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    // A path that leads nowhere is answered by the caller, who knows what was asked for.
    return null;
  }
}

import { lstatSync } from "node:fs";
import {
  childOf,
  codeOf,
  type HeldDirectory,
  holdDirectory,
  type OpenedRegular,
  openRegular,
  releaseDirectory,
} from "./descriptor.ts";
import { hiddenName, type Segments } from "./file-path.ts";

/**
 * Opens a regular file below `root`, one segment at a time, without following any link on the way. Null when there is no
 * regular file at that path. The caller closes `fd`.
 */
export function openBeneath(root: string, segments: Segments): Extract<OpenedRegular, { fd: number }> | null {
  const name = segments.at(-1);
  if (name === undefined) return null;
  let directory = holdDirectory(root);
  try {
    for (const segment of segments.slice(0, -1)) directory = descend(directory, segment);
    const opened = openRegular(directory, asStored(directory, name));
    return "fd" in opened ? opened : null;
  } catch (fault) {
    if (["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES"].includes(codeOf(fault))) return null;
    throw fault;
  } finally {
    releaseDirectory(directory);
  }
}

function descend(directory: HeldDirectory, segment: Buffer): HeldDirectory {
  const next = holdDirectory(childOf(directory, asStored(directory, segment)));
  releaseDirectory(directory);
  return next;
}

/** A literal name wins over the escaped form of a name that is not UTF-8. */
function asStored(directory: HeldDirectory, shown: Buffer): Buffer {
  const hidden = hiddenName(shown.toString("utf8"));
  if (hidden === null) return shown;
  const found = (name: Buffer) => lstatSync(childOf(directory, name), { throwIfNoEntry: false }) !== undefined;
  return !found(shown) && found(hidden) ? hidden : shown;
}

import { accessSync, chmodSync, closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";

/**
 * A directory held open. Everything in it is reached through its descriptor (`childOf`), so that nobody can put a link in
 * the place of a directory on the way, and paths stay short however deep the tree is.
 */
export type HeldDirectory = { readonly fd: number; readonly at: Buffer };

/** A regular file opened for reading, or why it was not. The caller closes `fd`. */
export type OpenedRegular = { fd: number; stat: Stats } | { refused: string };

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const viaProc = process.platform === "linux";
// Linux's O_PATH, which node:fs does not name: opens nothing, so that no device or pipe notices and no permission is asked.
const O_PATH = viaProc ? 0o10000000 : 0;

/** Holds a directory; a link in its place is refused with ENOTDIR or ELOOP. Only the last segment of `path` is guarded. */
export function holdDirectory(path: string | Buffer): HeldDirectory {
  const fd = openSync(path, O_PATH | O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  return { fd, at: viaProc ? Buffer.from(`/proc/self/fd/${fd}`) : Buffer.from(path) };
}

export function releaseDirectory(directory: HeldDirectory): void {
  closeSync(directory.fd);
}

/** The path of an entry of a held directory. */
export function childOf(directory: HeldDirectory, name: Buffer): Buffer {
  return Buffer.concat([directory.at, Buffer.from("/"), name]);
}

/** Opens an entry if it is a regular file. Never follows a link, never blocks on a pipe, never touches a device. */
export function openRegular(directory: HeldDirectory, name: Buffer): OpenedRegular {
  try {
    return viaProc ? openThroughPath(childOf(directory, name)) : openAtOnce(childOf(directory, name));
  } catch (fault) {
    return { refused: `cannot be read (${codeOf(fault)})` };
  }
}

/**
 * Gives this process the right to list and enter a held directory that it owns, whatever its mode. Returns what puts the
 * mode back. Where it may not, the next access says so.
 */
export function makeSearchable(directory: HeldDirectory): () => void {
  try {
    accessSync(directory.at, constants.R_OK | constants.X_OK);
    return () => undefined;
  } catch (fault) {
    if (codeOf(fault) !== "EACCES") throw fault;
  }
  return addBits(directory.at, fstatSync(directory.fd).mode, 0o500);
}

export function codeOf(fault: unknown): string {
  return fault instanceof Error && "code" in fault ? String(fault.code) : "unknown error";
}

/** The inode is pinned first, so that what was examined is what is opened, or made readable. */
function openThroughPath(path: Buffer): OpenedRegular {
  const pinned = openSync(path, O_PATH | O_NOFOLLOW);
  try {
    const stat = fstatSync(pinned);
    if (!stat.isFile()) return { refused: "is not a regular file" };
    const self = `/proc/self/fd/${pinned}`;
    return { fd: openReadable(self, stat.mode), stat };
  } finally {
    closeSync(pinned);
  }
}

function openReadable(path: string, mode: number): number {
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK);
  } catch (fault) {
    if (codeOf(fault) !== "EACCES") throw fault;
  }
  const restore = addBits(path, mode, 0o400);
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK);
  } finally {
    restore();
  }
}

/** Only the owner may; for others this throws EPERM. */
function addBits(path: string | Buffer, mode: number, bits: number): () => void {
  chmodSync(path, (mode & 0o7777) | bits);
  return () => chmodSync(path, mode & 0o7777);
}

function openAtOnce(path: Buffer): OpenedRegular {
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const stat = fstatSync(fd);
  if (stat.isFile()) return { fd, stat };
  closeSync(fd);
  return { refused: "is not a regular file" };
}

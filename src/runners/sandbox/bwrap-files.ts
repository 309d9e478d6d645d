import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { insideAccount, insideDirectory } from "./bwrap-arguments.ts";
import { seccompProgram } from "./seccomp.ts";

export type BwrapFiles = { seccomp: string; passwd: string; group: string };

const { uid, gid, name } = insideAccount;
/** The account of the inside, and the one that everybody else's files seem to belong to. */
export const accountFiles = {
  passwd: `${name}:x:${uid}:${gid}::${insideDirectory}:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n`,
  group: `${name}:x:${gid}:\nnogroup:x:65534:\n`,
};

/** Writes what every sandbox is started with, once. The files are handed over as descriptors, never by path. */
export function bwrapFiles(stateDir: string): BwrapFiles {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const files = {
    seccomp: join(stateDir, "seccomp.bpf"),
    passwd: join(stateDir, "passwd"),
    group: join(stateDir, "group"),
  };
  writeFileSync(files.seccomp, seccompProgram(process.arch === "arm64" ? "arm64" : "x64"));
  writeFileSync(files.passwd, accountFiles.passwd);
  writeFileSync(files.group, accountFiles.group);
  return files;
}

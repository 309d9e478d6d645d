import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  ftruncateSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childOf, holdDirectory, releaseDirectory } from "../../src/files/descriptor.ts";

export const secret = "TOPSECRET-8f3a";

/** A name in bytes that are not UTF-8. */
export const brokenName = Buffer.from([0x63, 0x61, 0x66, 0xe9, 0xff]);

/**
 * A payload as hostile code would leave it: over 30 kinds of objects in `work`, and beside it what must not get out. Devices
 * and the like are made where this process may. Close it to remove the socket.
 */
export async function makeHostileTree(): Promise<{ top: string; work: string; isRoot: boolean; close(): void }> {
  const top = mkdtempSync(join(tmpdir(), "fairlead-hostile-"));
  const work = join(top, "work");
  mkdirSync(join(work, "sub/deeper"), { recursive: true });
  mkdirSync(join(top, "outside"));
  writeFileSync(join(top, "secret"), secret);
  writeFileSync(join(top, "outside/secret"), secret);
  makeFiles(work);
  makeNames(work);
  makeLinks(top, work);
  const isRoot = makeSpecials(work);
  makeDeep(work);
  const socket = await listen(join(work, "socket"));
  return { top, work, isRoot, close: () => void socket.close() };
}

function makeFiles(work: string): void {
  writeFileSync(join(work, "out.txt"), "result\n");
  writeFileSync(join(work, "empty"), "");
  writeFileSync(join(work, "setuid"), "#!/bin/sh\n");
  chmodSync(join(work, "setuid"), 0o6755);
  writeFileSync(join(work, "sub/script.sh"), "#!/bin/sh\n", { mode: 0o755 });
  utimesSync(join(work, "out.txt"), 1_700_000_000, 1_700_000_000);
  writeFileSync(join(work, "ancient"), "1970");
  utimesSync(join(work, "ancient"), 0, 0);
  writeFileSync(join(work, "future"), "2200");
  utimesSync(join(work, "future"), 7_258_118_400, 7_258_118_400);
  writeFileSync(join(work, "FAIRLEAD-LEFT-OUT.txt"), "mine");
  mkdirSync(join(work, "nothing"));
  writeFileSync(join(work, "closed-file"), "closed", { mode: 0 });
  mkdirSync(join(work, "closed-directory"));
  writeFileSync(join(work, "closed-directory/inside"), "inside");
  chmodSync(join(work, "closed-directory"), 0);
  const sparse = openSync(join(work, "sparse"), "w");
  ftruncateSync(sparse, 5_000_000);
  closeSync(sparse);
}

function makeNames(work: string): void {
  const names = [
    "n".repeat(255),
    "new\nline",
    "-rf",
    "--checkpoint-action=exec=sh x",
    " space ",
    "\u001b[2J\u001b]0;x\u0007",
  ];
  const more = [
    "..\\up",
    "a\u202egnp.exe",
    "Twin",
    "twin",
    "...",
    "%E9",
    "caf%E9%FF",
    "C:drive",
    "e\u0301",
    "\u00e9",
    "日本語",
  ];
  for (const name of [...names, ...more]) writeFileSync(join(work, name), `named ${name}`);
  for (const name of [brokenName, Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0xe9])]) {
    writeFileSync(Buffer.concat([Buffer.from(`${work}/`), name]), "not UTF-8");
  }
}

function makeLinks(top: string, work: string): void {
  const links: [name: string, target: string][] = [
    ["link-out", "../secret"],
    ["link-out-directory", "../outside"],
    ["link-absolute", join(top, "secret")],
    ["link-passwd", "/etc/passwd"],
    ["link-root", "/"],
    ["link-up", ".."],
    ["link-here", "."],
    ["link-self", "link-self"],
    ["link-dangling", "gone"],
    ["link-inside", "out.txt"],
    ["link-inside-directory", "sub"],
    ["link-chain", "link-inside"],
    ["link-through-link", "link-out-directory/secret"],
    ["sub/link-back", "../out.txt"],
    ["sub/link-sly", "../../work/../secret"],
    ["sub/link-detour", "deeper/../../out.txt"],
    ["run.sh", "../secret"],
  ];
  for (const [name, target] of links) symlinkSync(target, join(work, name));
  linkSync(join(top, "secret"), join(work, "hard-link-out"));
  linkSync(join(work, "out.txt"), join(work, "hard-link-inside"));
}

/** Returns whether this process is root, and so could make devices. */
function makeSpecials(work: string): boolean {
  Bun.spawnSync(["mkfifo", join(work, "pipe"), join(work, "sub/pipe")]);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) Bun.spawnSync(["mknod", join(work, "null-device"), "c", "1", "3"]);
  return isRoot;
}

/** 300 levels, once with short names and once with 30 kB of path, far over what a path may have. */
function makeDeep(work: string): void {
  for (const [top, name] of [
    ["deep", "d"],
    ["long", "d".repeat(100)],
  ] as const) {
    mkdirSync(join(work, top));
    let held = holdDirectory(join(work, top));
    for (let level = 0; level < 300; level += 1) {
      const child = childOf(held, Buffer.from(name));
      mkdirSync(child);
      const next = holdDirectory(child);
      releaseDirectory(held);
      held = next;
    }
    writeFileSync(childOf(held, Buffer.from("file")), "bottom");
    releaseDirectory(held);
  }
}

async function listen(path: string): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

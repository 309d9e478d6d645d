import { chmodSync, existsSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { readManifest } from "../../src/files/manifest.ts";
import { removeTree } from "../../src/files/remove.ts";
import { zipStream } from "../../src/files/zip-out.ts";
import { makeHostileTree } from "./hostile-tree.ts";
import { bytesOf } from "./scratch.ts";

/** What a server without privileges makes of a hostile tree that it owns; started by root as a program of its own. */
const nobody = 65_534;
process.setgid?.(nobody);
process.setuid?.(nobody);

const tree = await makeHostileTree();
const manifest = await readManifest(tree.work);
const zip = await bytesOf(zipStream(tree.work));
tree.close();
const modes = ["closed-file", "closed-directory"].map((name) => lstatSync(join(tree.work, name)).mode & 0o777);
chmodSync(join(tree.work, "deep"), 0);
chmodSync(tree.work, 0);
await removeTree(tree.top);
console.log(
  JSON.stringify({
    uid: process.getuid?.(),
    closed: manifest.files.map(({ path }) => path).filter((path) => path.startsWith("closed")),
    modes,
    zipBytes: zip.length,
    isGone: !existsSync(tree.top),
  }),
);

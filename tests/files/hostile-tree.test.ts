import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { listTree, type Manifest, readManifest } from "../../src/files/manifest.ts";
import { removeTree } from "../../src/files/remove.ts";
import { openStoredFile } from "../../src/files/stored-file.ts";
import { zipStream } from "../../src/files/zip-out.ts";
import { brokenName, makeHostileTree, secret } from "./hostile-tree.ts";
import { bytesOf, openBelow } from "./scratch.ts";

let tree: Awaited<ReturnType<typeof makeHostileTree>>;
let manifest: Manifest;
let zip: Uint8Array<ArrayBuffer>;
let entries: Record<string, Uint8Array>;

beforeAll(async () => {
  tree = await makeHostileTree();
  manifest = await readManifest(tree.work);
  zip = await bytesOf(zipStream(tree.work));
  entries = unzipSync(zip);
}, 30_000);

afterAll(async () => {
  tree.close();
  await removeTree(tree.top);
});

const files = () => manifest.files.map(({ path }) => path);
const reasonFor = (path: string) => manifest.skipped.find((one) => one.path === path)?.reason;

test("the manifest has every regular file and none of the others", () => {
  const plain = [
    "out.txt",
    "empty",
    "setuid",
    "sub/script.sh",
    "closed-file",
    "closed-directory/inside",
    "hard-link-inside",
  ];
  const named = [
    "-rf",
    "new\nline",
    " space ",
    "..\\up",
    "Twin",
    "twin",
    "n".repeat(255),
    "a\u202egnp.exe",
    "e\u0301",
    "\u00e9",
  ];
  for (const path of [...plain, ...named]) expect(files()).toContain(path);
  for (const path of ["pipe", "socket", "null-device", "hard-link-out", "run.sh", "link-inside"])
    expect(files()).not.toContain(path);
  expect(new Set(files()).size).toBe(files().length);
});

test("the manifest says the size, hash, type and permissions of a file", () => {
  expect(manifest.files.find(({ path }) => path === "out.txt")).toEqual({
    path: "out.txt",
    bytes: 7,
    sha256: new Bun.CryptoHasher("sha256").update("result\n").digest("hex"),
    mediaType: "text/plain; charset=utf-8",
    mode: 0o644,
    modifiedAt: "2023-11-14T22:13:20.000Z",
  });
  expect(manifest.files.find(({ path }) => path === "setuid")?.mode).toBe(0o755);
  expect(manifest.bytes).toBe(manifest.files.reduce((sum, { bytes }) => sum + bytes, 0));
});

test("the manifest says what is not a file, and why", () => {
  expect(reasonFor("pipe")).toBe("is a named pipe");
  expect(reasonFor("socket")).toBe("is a socket");
  if (tree.isRoot) expect(reasonFor("null-device")).toBe("is a device");
  expect(reasonFor("hard-link-out")).toBe("is a hard link to a file elsewhere");
  for (const link of ["link-out", "link-absolute", "link-passwd", "link-root", "link-up", "sub/link-sly", "run.sh"]) {
    expect(reasonFor(link)).toBe("is a link that leaves the directory");
  }
  expect(manifest.skipped.find(({ path }) => path.startsWith("deep/"))?.reason).toBe("lies deeper than 64 directories");
  expect(manifest.skipped.find(({ path }) => path.startsWith("long/"))?.reason).toBe(
    "holds a path of more than 2048 bytes",
  );
});

test("the manifest has empty directories and the links that stay inside", () => {
  expect(manifest.directories.map(({ path }) => path)).toEqual(expect.arrayContaining(["nothing", "sub/deeper"]));
  expect(manifest.links).toEqual(
    expect.arrayContaining([
      { path: "link-inside", target: "out.txt" },
      { path: "sub/link-back", target: "out.txt" },
    ]),
  );
});

test("names that are not UTF-8 are shown escaped, unless that name is another file's", async () => {
  expect(files()).toContain("%ED%A0%80");
  expect(await new Response((await openStoredFile(tree.work, "%ED%A0%80", 1)).stream()).text()).toBe("not UTF-8");
  expect(reasonFor("caf%E9%FF")).toBe("its escaped name belongs to another file");
  expect(await new Response((await openStoredFile(tree.work, "caf%E9%FF", 1)).stream()).text()).toBe("named caf%E9%FF");
  expect(brokenName.toString("latin1")).toBe("caf\u00e9\u00ff");
});

test("walking gives closed things back as they were, and holds nothing open", () => {
  expect(lstatSync(join(tree.work, "closed-file")).mode & 0o777).toBe(0);
  expect(lstatSync(join(tree.work, "closed-directory")).mode & 0o777).toBe(0);
  expect(openBelow(tree.top)).toEqual([]);
});

test("listing without hashes finds the same files", async () => {
  const listed = await listTree(tree.work);
  expect(listed.files.map(({ path }) => path)).toEqual(files());
  expect(listed.files.every(({ sha256 }) => sha256 === null)).toBe(true);
});

test("bounds are kept, and said", async () => {
  const shallow = await listTree(tree.work, { depthMax: 1, entriesMax: 20 });
  expect(shallow.files.length).toBeLessThanOrEqual(20);
  expect(shallow.skipped.map(({ reason }) => reason).join()).toContain(
    "entries beyond the first 20 of the directory tree",
  );
  const unhashed = await readManifest(tree.work, { bytesMax: 0 });
  expect(unhashed.files.find(({ path }) => path === "out.txt")?.sha256).toBeNull();
});

test("the secret is in no archive, whatever leads to it", () => {
  for (const [name, content] of Object.entries(entries)) {
    expect([name, Buffer.from(content).includes(secret)]).toEqual([name, false]);
    expect([name, Buffer.from(content).includes("root:")]).toEqual([name, false]);
  }
  expect(Buffer.from(zip).includes(secret)).toBe(false);
});

test("the archive has the files, and links inside as the files they lead to", () => {
  const text = (name: string) => new TextDecoder().decode(entries[name]);
  for (const name of ["out.txt", "link-inside", "sub/link-back", "hard-link-inside"])
    expect(text(name)).toBe("result\n");
  expect(text("closed-directory/inside")).toBe("inside");
  expect(text("closed-file")).toBe("closed");
  expect(text("FAIRLEAD-LEFT-OUT.txt")).toBe("mine");
  for (const path of files()) expect(Object.keys(entries)).toContain(path.replaceAll("\\", "%5C"));
  expect(Object.keys(entries).filter((name) => name.includes("\\"))).toEqual([]);
});

test("the archive names what it leaves out", () => {
  const notes = new TextDecoder().decode(entries["FAIRLEAD-LEFT-OUT-2.txt"]);
  const left = [
    "link-out",
    "link-root",
    "link-self",
    "link-dangling",
    "link-chain",
    "link-through-link",
    "pipe",
    "socket",
  ];
  for (const name of left) expect(notes).toContain(`"${name}" is a `);
});

test.skipIf(!Bun.which("unzip"))("unzip extracts the archive and nothing lands elsewhere", () => {
  const { to, code } = extract(["unzip", "-q", "-o", join(tree.top, "hostile.zip"), "-d"]);
  expect(code).toBe(0);
  expect(readFileSync(join(to, "out.txt"), "utf8")).toBe("result\n");
  expect(lstatSync(join(to, "setuid")).mode & 0o7777).toBe(0o755);
});

test.skipIf(!Bun.which("bsdtar"))("bsdtar extracts the archive", () => {
  const { to, code } = extract(["bsdtar", "-xf", join(tree.top, "hostile.zip"), "-C"]);
  expect(code).toBe(0);
  expect(readFileSync(join(to, "sub/link-back"), "utf8")).toBe("result\n");
});

test.skipIf(!Bun.which("python3"))("Python's zipfile checks and extracts the archive", () => {
  const script =
    "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nz.extractall(sys.argv[2])";
  const { to, code } = extract(["python3", "-c", script, join(tree.top, "hostile.zip")]);
  expect(code).toBe(0);
  expect(readFileSync(join(to, "link-inside"), "utf8")).toBe("result\n");
});

function extract(command: string[]): { to: string; code: number } {
  const to = join(tree.top, `extracted-${command[0]}`);
  mkdirSync(to);
  const file = join(tree.top, "hostile.zip");
  if (!existsSync(file)) Bun.spawnSync(["tee", file], { stdin: zip, stdout: "ignore" });
  const { exitCode } = Bun.spawnSync([...command, to], { stdout: "ignore", stderr: "ignore" });
  return { to, code: exitCode };
}

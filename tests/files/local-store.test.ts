import { beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { EngineError } from "../../src/errors.ts";
import { createLocalStore } from "../../src/files/local-store.ts";
import { stageFile } from "../../src/files/staging.ts";
import { bytesOf, openBelow, published, scratch } from "./scratch.ts";

const dataDir = scratch();
const store = createLocalStore({ dataDir });

async function payload(id: number, files: Record<string, string>): Promise<string> {
  const staging = await store.stage();
  const known = await Promise.all(Object.entries(files).map(([name, content]) => stageFile(staging, name, content)));
  await store.commit(staging, id, known);
  return join(dataDir, "payloads", String(id));
}

const textOf = async (id: number, path: string) => await new Response((await store.open(id, path)).stream()).text();
const sha256 = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");

test("a payload goes from staging to a run to its result", async () => {
  const directory = await payload(1, { "run.sh": "echo hi", "input.pdb": "ATOM" });
  expect(store.location(1)).toBe("payloads/1");
  expect(readdirSync(join(dataDir, "staging"))).toEqual([]);
  expect((await store.list(1)).files.map(({ path, sha256: hash }) => [path, hash])).toEqual([
    ["input.pdb", sha256("ATOM")],
    ["run.sh", sha256("echo hi")],
  ]);
  expect(await store.workDirectory(1)).toBe(directory);
  mkdirSync(join(directory, "out"));
  writeFileSync(join(directory, "out/result.txt"), "42");
  expect((await store.list(1)).files.find(({ path }) => path === "out/result.txt")).toMatchObject({
    bytes: 2,
    sha256: null,
  });
  const manifest = await published(store, 1);
  expect(manifest.files.map(({ path }) => path)).toEqual(["input.pdb", "out/result.txt", "run.sh"]);
  expect(manifest.bytes).toBe(13);
  expect(await store.list(1)).toEqual(manifest);
  expect(await textOf(1, "out/result.txt")).toBe("42");
  expect(Object.keys(unzipSync(await bytesOf(await store.zip(1)))).sort()).toEqual([
    "input.pdb",
    "out/",
    "out/result.txt",
    "run.sh",
  ]);
  await store.remove(1);
  expect(existsSync(directory)).toBe(false);
  await store.remove(1);
});

test("an empty payload is a payload", async () => {
  await payload(2, {});
  expect(await store.list(2)).toEqual({ files: [], directories: [], links: [], skipped: [], bytes: 0 });
});

test("an id is given files once", async () => {
  await payload(3, { a: "1" });
  const staging = await store.stage();
  await expect(store.commit(staging, 3)).rejects.toMatchObject({ code: "conflict" });
  await staging.discard();
  expect(await textOf(3, "a")).toBe("1");
});

test("what a run left that is not recorded is nobody's manifest", async () => {
  const directory = await payload(32, { a: "1" });
  await store.workDirectory(32);
  writeFileSync(join(directory, "a"), "2");
  const isOwned = async () => true;
  expect(await store.publish(32, { isOwned, record: async () => false })).toBe(false);
  const away = async () => {
    throw new Error("the database is away");
  };
  await expect(store.publish(32, { isOwned, record: away })).rejects.toThrow("the database is away");
  expect((await store.list(32)).files).toMatchObject([{ path: "a", sha256: null }]);
  expect(readdirSync(join(dataDir, "manifests")).filter((name) => name.startsWith("32."))).toEqual([]);
});

test("files that do not reach the disk are nobody's payload", async () => {
  const staging = await store.stage();
  await stageFile(staging, "a", "1");
  await staging.flushes.add(Promise.reject(new Error("the disk is full")));
  await expect(store.commit(staging, 31)).rejects.toThrow("the disk is full");
  await staging.discard();
  await expect(store.list(31)).rejects.toMatchObject({ code: "not_found" });
  await payload(31, {});
  expect((await store.list(31)).files).toEqual([]);
});

test("an open file says what a download needs, and is read in parts", async () => {
  const directory = await payload(4, { "data.json": "0123456789" });
  const file = await store.open(4, "data.json");
  expect(file).toMatchObject({ path: "data.json", bytes: 10, mediaType: "application/json" });
  expect(file.etag).toMatch(/^"[0-9a-f-]+"$/);
  expect(file.modifiedAt).toEqual(statSync(join(directory, "data.json")).mtime);
  const part = (start: number, end: number) => new Response(file.stream({ start, end })).text();
  expect([await part(0, 0), await part(3, 6), await part(9, 9)]).toEqual(["0", "3456", "9"]);
  writeFileSync(join(directory, "data.json"), "changed, and longer");
  expect((await store.open(4, "data.json")).etag).not.toBe(file.etag);
});

test("a file that is cut or replaced while it is sent fails the stream", async () => {
  const directory = await payload(5, { big: "x".repeat(2_000_000), gone: "1" });
  const file = await store.open(5, "big");
  truncateSync(join(directory, "big"), 1_000_000);
  await expect(bytesOf(file.stream())).rejects.toThrow("changed");
  expect(openBelow(dataDir)).toEqual([]);
});

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 404, 2 ** 60])("the id %d has nothing", async (id) => {
  for (const act of [
    () => store.list(id),
    () => store.open(id, "a"),
    () => store.zip(id),
    () => store.workDirectory(id),
    () => published(store, id),
  ]) {
    await expect(act()).rejects.toMatchObject({ code: "not_found" });
  }
});

const outside = "TOPSECRET";
const hostile = [
  ...[
    "",
    ".",
    "..",
    "/",
    "//",
    "./",
    "../",
    "../secret",
    "../../secret",
    "../../../../../../etc/passwd",
    "/etc/passwd",
  ],
  ...["sub/../../secret", "sub/../a", "sub/..", "sub/.", "./a", "a/", "a/.", "a/..", "sub//b", "/a", "sub"],
  ...[
    "..\\secret",
    "..\\..\\secret",
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "..%2fsecret",
    "..%252fsecret",
    "%c0%ae%c0%ae/secret",
  ],
  ...[
    "%C0%AE%C0%AE/secret",
    "..%C0%AFsecret",
    "..\u2215secret",
    "\uff0e\uff0e/secret",
    "a\0",
    "../secret\0.txt",
    "a\0/../secret",
  ],
  ...[
    "file:///etc/passwd",
    "C:\\secret",
    "\\\\host\\share",
    "~/secret",
    "$HOME",
    "a/b",
    "link",
    "link-directory/secret",
    "hard",
  ],
  ...["pipe", "x".repeat(300), `${"d/".repeat(5_000)}a`, "sub/link-up/secret", "..;/secret", "%FF%2Fa", "\ud800"],
];

beforeAll(async () => {
  writeFileSync(join(dataDir, "secret"), outside);
  const directory = await payload(9, { a: "inside" });
  mkdirSync(join(directory, "sub"));
  writeFileSync(join(directory, "sub/b"), "inside too");
  symlinkSync("../../secret", join(directory, "link"));
  symlinkSync("../..", join(directory, "link-directory"));
  symlinkSync("../../..", join(directory, "sub/link-up"));
  linkSync(join(dataDir, "secret"), join(directory, "hard"));
  Bun.spawnSync(["mkfifo", join(directory, "pipe")]);
});

test(`the table has at least 40 paths: ${hostile.length}`, () => {
  expect(hostile.length).toBeGreaterThanOrEqual(40);
});

test.each(hostile.map((path) => [path.length > 60 ? `${path.slice(0, 60)}…` : path, path]))(
  "the path %j opens nothing",
  async (_, path) => {
    const fault = await store.open(9, path ?? "").catch((thrown: unknown) => thrown);
    expect(fault).toBeInstanceOf(EngineError);
    expect(fault).toMatchObject({ code: "not_found" });
    expect(openBelow(dataDir)).toEqual([]);
  },
);

test("a path inside opens", async () => {
  expect(await textOf(9, "sub/b")).toBe("inside too");
});

test("sweeping takes what is old and leaves what is being written", async () => {
  const [old, growing, young] = [await store.stage(), await store.stage(), await store.stage()];
  await stageFile(growing, "big", "still coming");
  const longAgo = new Date(Date.now() - 3_600_000);
  for (const { directory } of [old, growing]) utimesSync(directory, longAgo, longAgo);
  mkdirSync(join(dataDir, "trash/left-behind"), { recursive: true });
  utimesSync(join(dataDir, "trash/left-behind"), longAgo, longAgo);
  expect(await store.sweepStaging(60_000)).toBe(2);
  expect([old, growing, young].map(({ directory }) => existsSync(directory))).toEqual([false, true, true]);
  await growing.discard();
  await young.discard();
});

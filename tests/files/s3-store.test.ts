import { beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { S3Client } from "bun";
import { unzipSync } from "fflate";
import type { BucketOptions } from "../../src/files/bucket.ts";
import { createObjectKeys } from "../../src/files/object-keys.ts";
import { createS3Store } from "../../src/files/s3-store.ts";
import { stageFile } from "../../src/files/staging.ts";
import type { FileStore } from "../../src/files/store.ts";
import { startS3Server } from "./s3-server.ts";
import { bytesOf, openBelow, scratch } from "./scratch.ts";

/** Two nodes with disks of their own and one bucket. */
const [diskA, diskB] = [scratch(), scratch()];
let bucket: BucketOptions & { stop(): Promise<void> };
let nodeA: FileStore;
let nodeB: FileStore;
let client: S3Client;

beforeAll(async () => {
  bucket = await startS3Server();
  const { stop: _, ...options } = bucket;
  nodeA = createS3Store({ dataDir: diskA, bucket: options, prefix: "team/" });
  nodeB = createS3Store({ dataDir: diskB, bucket: options, prefix: "team/" });
  client = new S3Client(options);
});

async function accept(node: FileStore, id: number, files: Record<string, string | Uint8Array>) {
  const staging = await node.stage();
  for (const [name, content] of Object.entries(files)) await stageFile(staging, name, content);
  return await node.commit(staging, id);
}

const keysOf = async (id: number) =>
  ((await client.list({ prefix: `team/payloads/${id}/` })).contents ?? []).map(({ key }) => key);
const textOf = async (node: FileStore, id: number, path: string) =>
  await new Response((await node.open(id, path)).stream()).text();
const hash = (content: string | Uint8Array) => new Bun.CryptoHasher("sha256").update(content).digest("hex");

test("what one node accepted another one runs, and both serve", async () => {
  await accept(nodeA, 1, { "run.sh": "echo hi", "input.pdb": "ATOM" });
  expect(readdirSync(join(diskA, "staging"))).toEqual([]);
  expect((await keysOf(1)).sort()).toEqual(["team/payloads/1/input.pdb", "team/payloads/1/run.sh"]);

  const directory = await nodeB.workDirectory(1);
  expect(directory).toBe(join(diskB, "payloads/1"));
  expect(readFileSync(join(directory, "run.sh"), "utf8")).toBe("echo hi");
  mkdirSync(join(directory, "out/empty"), { recursive: true });
  writeFileSync(join(directory, "out/result.txt"), "42");
  chmodSync(join(directory, "out/result.txt"), 0o755);
  symlinkSync("out/result.txt", join(directory, "latest"));
  writeFileSync(join(directory, "input.pdb"), "HETATM");
  expect(await textOf(nodeB, 1, "out/result.txt")).toBe("42");
  await expect(nodeA.open(1, "out/result.txt")).rejects.toMatchObject({ code: "not_found" });

  const manifest = await nodeB.publish(1);
  expect(manifest.files.map(({ path, sha256 }) => [path, sha256])).toEqual([
    ["input.pdb", hash("HETATM")],
    ["out/result.txt", hash("42")],
    ["run.sh", hash("echo hi")],
  ]);
  expect(existsSync(directory)).toBe(false);
  for (const node of [nodeA, nodeB]) {
    expect(await node.list(1)).toEqual(manifest);
    expect(await textOf(node, 1, "input.pdb")).toBe("HETATM");
  }
  const entries = unzipSync(await bytesOf(await nodeA.zip(1)));
  expect(Object.keys(entries)).toEqual(["out/", "out/empty/", "input.pdb", "out/result.txt", "run.sh", "latest"]);
  expect(new TextDecoder().decode(entries.latest)).toBe("42");
});

test("a run that never published leaves the payload as it was accepted", async () => {
  await accept(nodeA, 2, { "run.sh": "v1", data: "as sent" });
  const lost = await nodeA.workDirectory(2);
  writeFileSync(join(lost, "data"), "half");
  const directory = await nodeB.workDirectory(2);
  expect(readFileSync(join(directory, "data"), "utf8")).toBe("as sent");
  writeFileSync(join(directory, "data"), "done");
  await nodeB.publish(2);
  expect(await textOf(nodeA, 2, "data")).toBe("half");
  await nodeA.forget(2);
  expect(existsSync(lost)).toBe(false);
  expect(await textOf(nodeA, 2, "data")).toBe("done");
  const again = await nodeA.workDirectory(2);
  expect(readFileSync(join(again, "data"), "utf8")).toBe("done");
  await nodeA.publish(2);
});

test("a later publish never changes the objects of an earlier one", async () => {
  await accept(nodeA, 3, { data: "accepted" });
  const [late, early] = [await nodeA.workDirectory(3), await nodeB.workDirectory(3)];
  writeFileSync(join(early, "data"), "winner");
  writeFileSync(join(early, "only"), "winner");
  writeFileSync(join(late, "data"), "frozen");
  await nodeB.publish(3);
  await nodeA.publish(3);
  expect((await nodeB.list(3)).files.map(({ path }) => path)).toEqual(["data"]);
  expect(await textOf(nodeB, 3, "data")).toBe("frozen");
  expect(await client.file("team/payloads/3/data").text()).toBe("accepted");
});

test("only what changed is uploaded", async () => {
  await accept(nodeA, 4, { a: "1", b: "2" });
  const directory = await nodeB.workDirectory(4);
  writeFileSync(join(directory, "b"), "3");
  writeFileSync(join(directory, "c"), "4");
  rmSync(join(directory, "a"));
  writeFileSync(join(directory, "a"), "1");
  await nodeB.publish(4);
  const keys = await keysOf(4);
  expect(keys.filter((key) => key.endsWith("/a"))).toHaveLength(1);
  expect(keys.filter((key) => key.endsWith("/b"))).toHaveLength(2);
  expect(keys.filter((key) => key.endsWith("/c"))).toHaveLength(1);
});

test("names of every kind come through the bucket", async () => {
  const names = ["späce name.txt", "%2e%2e", "q?a=b&c", "#h+p", "日本", "it's", "*(!)~", "__proto__", "n".repeat(200)];
  await accept(nodeA, 5, Object.fromEntries(names.map((name) => [name, name])));
  const directory = await nodeB.workDirectory(5);
  expect(readdirSync(directory).sort()).toEqual([...names].sort());
  const nasty = ["new\nline", "back\\slash", "\u001b[2J", `${"deep/".repeat(60)}${"x".repeat(200)}`];
  const deep = `${`${"y".repeat(200)}/`.repeat(6)}file`;
  for (const path of [...nasty, deep]) {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), path);
  }
  await nodeB.publish(5);
  for (const path of [...names, ...nasty, deep]) expect(await textOf(nodeA, 5, path)).toBe(path);
  const back = await nodeA.workDirectory(5);
  for (const path of [...nasty, deep]) expect(readFileSync(join(back, path), "utf8")).toBe(path);
});

test("a large file goes up and comes down in parts, whole", async () => {
  const content = Buffer.alloc(20_000_000);
  for (let index = 0; index < content.length; index += 4_096) content.writeUInt32LE(index, index);
  await accept(nodeA, 6, { "big.bin": content, empty: "" });
  const file = await nodeB.open(6, "big.bin");
  expect(file).toMatchObject({ bytes: content.length, etag: `"${hash(content)}"` });
  expect(hash(await bytesOf(file.stream()))).toBe(hash(content));
  expect(
    Buffer.from(await bytesOf(file.stream({ start: 4_096, end: 8_191 }))).equals(content.subarray(4_096, 8_192)),
  ).toBe(true);
  expect(await textOf(nodeB, 6, "empty")).toBe("");
  const entries = unzipSync(await bytesOf(await nodeB.zip(6)));
  expect(hash(entries["big.bin"] ?? new Uint8Array())).toBe(hash(content));
  expect(statSync(join(await nodeB.workDirectory(6), "big.bin")).size).toBe(content.length);
});

test("removing takes every object and every directory", async () => {
  await accept(nodeA, 7, { a: "1" });
  const directory = await nodeA.workDirectory(7);
  writeFileSync(join(directory, "b"), "2");
  await nodeA.publish(7);
  await nodeA.workDirectory(7);
  await nodeA.remove(7);
  expect(await keysOf(7)).toEqual([]);
  expect(existsSync(directory)).toBe(false);
  await expect(nodeB.list(7)).rejects.toMatchObject({ code: "not_found" });
  await nodeA.remove(7);
});

test("an id is given files once", async () => {
  await accept(nodeA, 8, { a: "1" });
  await expect(accept(nodeB, 8, { a: "2" })).rejects.toMatchObject({ code: "conflict" });
  expect(await textOf(nodeA, 8, "a")).toBe("1");
});

test.each(["../a", "", "a/../a", "/a", "__proto__", "constructor", "b", "%2e%2e/8/a"])(
  "the path %j opens nothing",
  async (path) => {
    await expect(nodeA.open(8, path)).rejects.toMatchObject({ code: "not_found" });
  },
);

test("what a killed node left on its disk is swept, and a run's directory is not", async () => {
  await accept(nodeA, 9, { a: "1" });
  const directory = await nodeA.workDirectory(9);
  mkdirSync(join(diskA, "payloads/4711"), { recursive: true });
  expect(await nodeA.sweepStaging(0)).toBeGreaterThanOrEqual(1);
  expect([existsSync(directory), existsSync(join(diskA, "payloads/4711"))]).toEqual([true, false]);
});

test("a key is never longer than S3 allows, and never another path's", () => {
  const keys = createObjectKeys("team/");
  const long = `${"d".repeat(255)}/`.repeat(8);
  const paths = ["a", "%a", "%25a", "a\nb", "a%0Ab", "%long/x", `${long}a`, `${long}b`, "run", "%run/a"];
  const made = paths.flatMap((path) => [keys.file(1, path, ""), keys.file(1, path, "run")]);
  expect(new Set(made).size).toBe(made.length);
  for (const key of made) expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1_024);
});

test("a store that cannot be reached is refused as unavailable", async () => {
  const { stop: _, ...options } = bucket;
  const lost = createS3Store({ dataDir: scratch(), bucket: { ...options, endpoint: "http://127.0.0.1:1" } });
  await expect(lost.list(1)).rejects.toMatchObject({ code: "unavailable" });
  const staging = await lost.stage();
  await stageFile(staging, "a", "1");
  await expect(lost.commit(staging, 1)).rejects.toMatchObject({ code: "unavailable" });
  expect(existsSync(staging.directory)).toBe(true);
  await staging.discard();
});

test("one object that cannot be stored refuses the whole payload", async () => {
  const puts: string[] = [];
  const denying = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (request.method !== "PUT") return xmlError("NoSuchKey", 404);
      puts.push(pathname);
      return pathname.endsWith("/f7")
        ? xmlError("AccessDenied", 403)
        : new Response(null, { headers: { etag: '"1"' } });
    },
  });
  const { stop: _, ...options } = bucket;
  const store = createS3Store({ dataDir: diskA, bucket: { ...options, endpoint: denying.url.origin } });
  const staging = await store.stage();
  for (let index = 0; index < 30; index += 1) await stageFile(staging, `f${index}`, "1");
  await expect(store.commit(staging, 10)).rejects.toMatchObject({ code: "unavailable" });
  expect(puts.filter((path) => path.endsWith(".json"))).toEqual([]);
  await staging.discard();
  await denying.stop(true);
});

function xmlError(code: string, status: number): Response {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
  return new Response(body, { status, headers: { "content-type": "application/xml" } });
}

test("nothing stays open", () => {
  expect([...openBelow(diskA), ...openBelow(diskB)]).toEqual([]);
});

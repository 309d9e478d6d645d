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
import { listen, S3Client } from "bun";
import { unzipSync } from "fflate";
import { type BucketOptions, openBucket } from "../../src/files/bucket.ts";
import { createObjectKeys } from "../../src/files/object-keys.ts";
import { createS3Store } from "../../src/files/s3-store.ts";
import { sign } from "../../src/files/signed-request.ts";
import { stageFile } from "../../src/files/staging.ts";
import type { Manifest } from "../../src/files/manifest.ts";
import type { FileStore } from "../../src/files/store.ts";
import type { BucketManifest } from "../../src/files/upload-tree.ts";
import { abortUploads } from "../../src/files/unfinished-uploads.ts";
import { type S3Server, startS3Server } from "./s3-server.ts";
import { bytesOf, openBelow, published, scratch } from "./scratch.ts";

/** As before there is a row: what lies in the bucket decides. */
const recorded = async () => null;

/** Two nodes with disks of their own and one bucket. */
const [diskA, diskB] = [scratch(), scratch()];
let bucket: S3Server;
let nodeA: FileStore;
let nodeB: FileStore;
let client: S3Client;

beforeAll(async () => {
  bucket = await startS3Server();
  const options = optionsOf(bucket);
  nodeA = createS3Store({ dataDir: diskA, bucket: options, prefix: "team/", recorded });
  nodeB = createS3Store({ dataDir: diskB, bucket: options, prefix: "team/", recorded });
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

  const manifest = await published(nodeB, 1);
  expect(await textOf(nodeB, 1, "input.pdb")).toBe("HETATM");
  expect(existsSync(directory)).toBe(true);
  await nodeB.forget(1);
  expect(manifest.files.map(({ path, sha256 }) => [path, sha256])).toEqual([
    ["input.pdb", hash("HETATM")],
    ["out/result.txt", hash("42")],
    ["run.sh", hash("echo hi")],
  ]);
  expect(existsSync(directory)).toBe(false);
  for (const node of [nodeA, nodeB]) {
    expect(manifest).toMatchObject(await node.list(1));
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
  await published(nodeB, 2);
  await nodeB.forget(2);
  expect(await textOf(nodeA, 2, "data")).toBe("half");
  await nodeA.forget(2);
  expect(existsSync(lost)).toBe(false);
  expect(await textOf(nodeA, 2, "data")).toBe("done");
  const again = await nodeA.workDirectory(2);
  expect(readFileSync(join(again, "data"), "utf8")).toBe("done");
  await published(nodeA, 2);
});

test("a later publish never changes the objects of an earlier one", async () => {
  await accept(nodeA, 3, { data: "accepted" });
  const [late, early] = [await nodeA.workDirectory(3), await nodeB.workDirectory(3)];
  writeFileSync(join(early, "data"), "winner");
  writeFileSync(join(early, "only"), "winner");
  writeFileSync(join(late, "data"), "frozen");
  await published(nodeB, 3);
  await published(nodeA, 3);
  await Promise.all([nodeA.forget(3), nodeB.forget(3)]);
  expect((await nodeB.list(3)).files.map(({ path }) => path)).toEqual(["data"]);
  expect(await textOf(nodeB, 3, "data")).toBe("frozen");
  expect(await client.file("team/payloads/3/data").text()).toBe("accepted");
});

test("what stands in the row decides, and a run that comes too late changes nothing of it", async () => {
  const rows = new Map<number, Manifest>();
  const inRow = async (id: number) => rows.get(id) ?? null;
  const options = optionsOf(bucket);
  const [early, late] = [scratch(), scratch()].map((dataDir) =>
    createS3Store({ dataDir, bucket: options, recorded: inRow }),
  );
  if (early === undefined || late === undefined) throw new Error("two stores");
  const staging = await early.stage();
  await stageFile(staging, "data", "accepted");
  rows.set(30, await early.commit(staging, 30));
  const [first, second] = [await early.workDirectory(30), await late.workDirectory(30)];
  writeFileSync(join(first, "data"), "recorded");
  rows.set(30, JSON.parse(JSON.stringify(await published(early, 30))));
  writeFileSync(join(second, "data"), "too late");
  await published(late, 30);
  await Promise.all([early.forget(30), late.forget(30)]);
  for (const store of [early, late]) {
    expect(await textOf(store, 30, "data")).toBe("recorded");
    expect(readFileSync(join(await store.workDirectory(30), "data"), "utf8")).toBe("recorded");
    await store.forget(30);
  }
  const { keys, ...ofEarlierVersion } = rows.get(30) as BucketManifest;
  expect(Object.keys(keys)).toEqual(["data"]);
  rows.set(30, ofEarlierVersion);
  expect(await textOf(early, 30, "data")).toBe("too late");
});

test("a run that lost its task takes nothing to the bucket", async () => {
  await accept(nodeA, 32, { data: "accepted" });
  writeFileSync(join(await nodeB.workDirectory(32), "data"), "lost");
  const before = await keysOf(32);
  const record = async () => {
    throw new Error("nobody asks for it");
  };
  expect(await nodeB.publish(32, { isOwned: async () => false, record })).toBe(false);
  await nodeB.forget(32);
  expect(await keysOf(32)).toEqual(before);
  expect(await textOf(nodeB, 32, "data")).toBe("accepted");
});

test("only what changed is uploaded", async () => {
  await accept(nodeA, 4, { a: "1", b: "2" });
  const directory = await nodeB.workDirectory(4);
  writeFileSync(join(directory, "b"), "3");
  writeFileSync(join(directory, "c"), "4");
  rmSync(join(directory, "a"));
  writeFileSync(join(directory, "a"), "1");
  await published(nodeB, 4);
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
  await published(nodeB, 5);
  await nodeB.forget(5);
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
  await published(nodeA, 7);
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

test("uploads that a killed process began are ended once they are old, and nobody else's", async () => {
  const options = optionsOf(bucket);
  const mine = ["team/payloads/41/a&b", "team/payloads/41/%run/it's", "team/payloads/42/c"];
  await Promise.all([...mine, "other/payloads/1/d"].map((key) => beginAndDie(options, key)));
  expect(bucket.unfinished()).toHaveLength(4);
  expect(await abortUploads(options, "team/payloads/", 60_000)).toBe(0);
  expect(bucket.unfinished()).toHaveLength(4);
  expect(await abortUploads(options, "team/payloads/", -60_000)).toBe(3);
  expect(bucket.unfinished().map(({ key }) => key)).toEqual(["other/payloads/1/d"]);
});

/** Examples of the page that the function names. */
test.each([
  [{ lifecycle: "" }, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"],
  [{ prefix: "J", "max-keys": "2" }, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"],
])("a request with %j is signed as S3 documents it", (query, signature) => {
  const signer = {
    region: "us-east-1",
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  };
  const endpoint = "https://examplebucket.s3.amazonaws.com";
  const { headers } = sign(signer, { method: "GET", endpoint, path: [], query }, new Date("2013-05-24T00:00:00Z"));
  expect(headers.authorization).toEndWith(`Signature=${signature}`);
});

test("a store that does not list unfinished uploads, or cannot be reached, ends none", async () => {
  const denying = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => xmlError("NotImplemented", 501) });
  const options = { ...optionsOf(bucket), endpoint: denying.url.origin };
  expect(await abortUploads(options, "", 0)).toBe(0);
  await denying.stop(true);
  await expect(abortUploads(options, "", 0)).rejects.toMatchObject({ code: "unavailable" });
});

test("unfinished uploads without an age, or of another prefix, are left alone whatever the store lists", async () => {
  const ended: string[] = [];
  const upload = (key: string, initiated: string) =>
    `<Upload><Key>${key}</Key><UploadId>1</UploadId>${initiated}</Upload>`;
  const old = "<Initiated>2020-01-01T00:00:00Z</Initiated>";
  const careless = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch({ method, url }) {
      if (method === "DELETE") ended.push(new URL(url).pathname);
      const uploads = [upload("team/a", ""), upload("team/b", old), upload("other/c", old)];
      return new Response(`<ListMultipartUploadsResult>${uploads.join("")}</ListMultipartUploadsResult>`);
    },
  });
  const options = { ...optionsOf(bucket), endpoint: careless.url.origin };
  expect(await abortUploads(options, "team/", 0)).toBe(1);
  expect(ended).toEqual(["/box/team/b"]);
  await careless.stop(true);
});

test.each(["", "half", "more than that"])("a store that sends %j of a file does not give it to a run", async (sent) => {
  const lying = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(sent) });
  const { download } = openBucket({ ...optionsOf(bucket), endpoint: lying.url.origin });
  const path = join(scratch(), "a");
  await expect(download("a", { path, bytes: 7 })).rejects.toMatchObject({ code: "unavailable" });
  await lying.stop(true);
});

test("a store that breaks off in the middle of a file is refused as unavailable", async () => {
  const cutting = listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: { data: (socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") },
  });
  const { stream } = openBucket({ ...optionsOf(bucket), endpoint: `http://127.0.0.1:${cutting.port}` });
  await expect(Array.fromAsync(stream("a", { bytes: 10 }))).rejects.toMatchObject({ code: "unavailable" });
  cutting.stop(true);
});

test("a store that sends more than was asked for does not lengthen a file", async () => {
  const generous = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("more than that") });
  const { stream } = openBucket({ ...optionsOf(bucket), endpoint: generous.url.origin });
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream("a", { bytes: 4 })) chunks.push(chunk);
  expect(Buffer.concat(chunks).toString()).toBe("more");
  await generous.stop(true);
});

/** Begins a multipart upload in a process that is killed before it ends. */
async function beginAndDie(options: BucketOptions, key: string): Promise<void> {
  const script = `
    const writer = new Bun.S3Client(${JSON.stringify(options)}).file(${JSON.stringify(key)}).writer({ partSize: 5242880 });
    for (let part = 0; part < 3; part++) { writer.write(new Uint8Array(6_000_000)); await writer.flush(); }
    process.kill(process.pid, "SIGKILL");`;
  const child = Bun.spawn([process.execPath, "-e", script], { stderr: "inherit" });
  await child.exited;
  expect(child.signalCode).toBe("SIGKILL");
}

function optionsOf({ endpoint, region, accessKeyId, secretAccessKey, bucket: name }: S3Server): BucketOptions {
  return { endpoint, region, accessKeyId, secretAccessKey, bucket: name };
}

test("a key is never longer than S3 allows, and never another path's", () => {
  const keys = createObjectKeys("team/");
  const long = `${"d".repeat(255)}/`.repeat(8);
  const paths = ["a", "%a", "%25a", "a\nb", "a%0Ab", "%long/x", `${long}a`, `${long}b`, "run", "%run/a"];
  const made = paths.flatMap((path) => [keys.file(1, path, ""), keys.file(1, path, "run")]);
  expect(new Set(made).size).toBe(made.length);
  for (const key of made) expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1_024);
});

test("a store that cannot be reached is refused as unavailable", async () => {
  const options = optionsOf(bucket);
  const lost = createS3Store({ dataDir: scratch(), bucket: { ...options, endpoint: "http://127.0.0.1:1" }, recorded });
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
  const options = optionsOf(bucket);
  const store = createS3Store({ dataDir: diskA, bucket: { ...options, endpoint: denying.url.origin }, recorded });
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

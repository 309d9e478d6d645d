import { expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { byteStream } from "../../src/files/byte-stream.ts";
import { zipStream } from "../../src/files/zip-out.ts";
import { centralRecord, endRecords } from "../../src/files/zip-records.ts";
import { writeZip, type ZipItem } from "../../src/files/zip-writer.ts";
import { bytesOf, openBelow, scratch } from "./scratch.ts";

const directory = scratch();
const python = Bun.which("python3");
const unzip = Bun.which("unzip");
let made = 0;

function fresh(): string {
  made += 1;
  const path = join(directory, `tree-${made}`);
  mkdirSync(path);
  return path;
}

/** Python's view of an archive, as JSON. */
async function seenByPython(archive: Uint8Array | string, expression: string): Promise<unknown> {
  const path = typeof archive === "string" ? archive : await save(archive);
  const script = `import sys,json,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nprint(json.dumps(${expression}))`;
  const { stdout, exitCode } = Bun.spawnSync([python ?? "", "-c", script, path], { stderr: "inherit" });
  expect(exitCode).toBe(0);
  return JSON.parse(stdout.toString());
}

async function save(archive: Uint8Array): Promise<string> {
  made += 1;
  const path = join(directory, `archive-${made}.zip`);
  await Bun.write(path, archive);
  return path;
}

test("an empty directory is an empty archive", async () => {
  expect(unzipSync(await bytesOf(zipStream(fresh())))).toEqual({});
});

test("contents of every kind come back as they were", async () => {
  const tree = fresh();
  const text = Array.from({ length: 50_000 }, (_, index) => `ATOM ${index} ${Math.sin(index)}\n`).join("");
  const random = Buffer.concat(Array.from({ length: 20 }, () => crypto.getRandomValues(new Uint8Array(65_536))));
  const contents = {
    empty: Buffer.alloc(0),
    small: Buffer.from("x"),
    text: Buffer.from(text),
    random,
    "random then text": Buffer.concat([random, Buffer.from(text)]),
    "exactly one chunk": Buffer.alloc(4 * 65_535, "ab"),
    "one byte more": Buffer.alloc(4 * 65_535 + 1, 0),
  };
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(tree, name), content);
  for (const level of [1, 6]) {
    const archive = await bytesOf(zipStream(tree, { level }));
    const entries = unzipSync(archive);
    for (const [name, content] of Object.entries(contents))
      expect(content.equals(Buffer.from(entries[name] ?? []))).toBe(true);
    if (unzip) expect(Bun.spawnSync([unzip, "-tq", await save(archive)]).exitCode).toBe(0);
  }
});

test.skipIf(!python)("permissions, times, directories and unicode names are kept", async () => {
  const tree = fresh();
  mkdirSync(join(tree, "sub/empty"), { recursive: true });
  writeFileSync(join(tree, "run.sh"), "#!/bin/sh\n");
  chmodSync(join(tree, "run.sh"), 0o4751);
  utimesSync(join(tree, "run.sh"), 1_700_000_001, 1_700_000_001);
  writeFileSync(join(tree, "sub/ünï 日本.txt"), "é");
  chmodSync(join(tree, "sub/empty"), 0o700);
  const archive = await bytesOf(zipStream(tree));
  const seen = await seenByPython(
    archive,
    "{i.filename:[oct(i.external_attr>>16),i.flag_bits>>11&1,i.extra.hex(),i.create_system,i.is_dir()] for i in z.infolist()}",
  );
  expect(seen).toEqual({
    "run.sh": ["0o100751", 0, `555405000101f15365`, 3, false],
    "sub/": ["0o40755", 0, expect.any(String), 3, true],
    "sub/empty/": ["0o40700", 0, expect.any(String), 3, true],
    "sub/ünï 日本.txt": ["0o100644", 1, expect.any(String), 3, false],
  });
});

test("a file that grows while it is read is cut at the size it had", async () => {
  const tree = fresh();
  const path = join(tree, "growing");
  writeFileSync(path, Buffer.alloc(3_000_000, "a"));
  const reader = zipStream(tree, { level: 1 }).getReader();
  const parts: Uint8Array[] = [];
  for (let part = await reader.read(); part.value !== undefined; part = await reader.read()) {
    parts.push(part.value);
    appendFileSync(path, Buffer.alloc(1_000_000, "b"));
  }
  const content = unzipSync(Buffer.concat(parts)).growing ?? new Uint8Array();
  expect(content.length).toBe(3_000_000);
  expect(Buffer.from(content).includes("b")).toBe(false);
});

test("a file that shrinks while it is read ends where it ends", async () => {
  const tree = fresh();
  for (let index = 0; index < 40; index += 1)
    writeFileSync(join(tree, `f${index}`), crypto.getRandomValues(new Uint8Array(60_000)));
  const reader = zipStream(tree).getReader();
  const parts: Uint8Array[] = [];
  for (let part = await reader.read(); part.value !== undefined; part = await reader.read()) {
    parts.push(part.value);
    for (let index = 0; index < 40; index += 1) writeFileSync(join(tree, `f${index}`), "short");
  }
  const entries = unzipSync(Buffer.concat(parts));
  expect(Object.keys(entries)).toHaveLength(40);
  expect(Object.values(entries).filter(({ length }) => length === 5).length).toBeGreaterThan(0);
});

test("a directory that is not there fails the stream", async () => {
  await expect(bytesOf(zipStream(join(directory, "gone")))).rejects.toThrow("ENOENT");
});

test("a reader that leaves closes every file", async () => {
  const tree = fresh();
  writeFileSync(join(tree, "big"), Buffer.alloc(20_000_000, "x"));
  for (let turn = 0; turn < 10; turn += 1) {
    const reader = zipStream(tree, { level: 1 }).getReader();
    if (turn > 0) await reader.read();
    await reader.cancel();
  }
  expect(openBelow(directory)).toEqual([]);
});

test("links add a bounded amount", async () => {
  const tree = fresh();
  writeFileSync(join(tree, "big"), Buffer.alloc(1_000_000, "x"));
  for (let index = 0; index < 5; index += 1) Bun.spawnSync(["ln", "-s", "big", join(tree, `link${index}`)]);
  const entries = unzipSync(await bytesOf(zipStream(tree, { linkedBytesMax: 2_500_000 })));
  expect(Object.keys(entries).filter((name) => name.startsWith("link"))).toHaveLength(2);
  expect(new TextDecoder().decode(entries["FAIRLEAD-LEFT-OUT.txt"])).toContain("links have added enough already");
});

test("entries with 64-bit sizes are read by every reader", async () => {
  const tree = fresh();
  mkdirSync(join(tree, "sub"));
  writeFileSync(join(tree, "sub/a.txt"), "hello\n");
  writeFileSync(join(tree, "b.bin"), Buffer.alloc(500_000, "b"));
  const archive = await bytesOf(zipStream(tree, { wideFromBytes: 0 }));
  const entries = unzipSync(archive);
  expect(new TextDecoder().decode(entries["sub/a.txt"])).toBe("hello\n");
  expect(entries["b.bin"]).toHaveLength(500_000);
  if (unzip) expect(Bun.spawnSync([unzip, "-tq", await save(archive)]).exitCode).toBe(0);
  if (python) expect(await seenByPython(archive, "[z.testzip(), len(z.namelist())]")).toEqual([null, 3]);
});

test.skipIf(!python)(
  "an archive of 66,000 entries has them all",
  async () => {
    async function* items(): AsyncGenerator<ZipItem> {
      for (let index = 0; index < 66_000; index += 1) {
        yield { path: `d${index}`, mode: 0o755, mtimeMs: 1_700_000_000_000, bytesMax: 0, chunks: null };
      }
    }
    const archive = await bytesOf(byteStream(writeZip(items())));
    expect(await seenByPython(archive, "[len(z.namelist()), z.namelist()[-1]]")).toEqual([66_000, "d65999/"]);
  },
  30_000,
);

test.skipIf(!python)("an archive beyond 4 GiB says its sizes and places in 64 bits", async () => {
  const huge = { name: "huge", mode: 0o644, isDirectory: false, mtimeMs: 0, crc: 1, isWide: true };
  const central = [
    centralRecord({ ...huge, bytes: 6_000_000_000, packedBytes: 5_000_000_000, offset: 0 }),
    centralRecord({ ...huge, name: "far", bytes: 5, packedBytes: 7, offset: 5_000_000_100, isWide: false }),
    centralRecord({ ...huge, name: "far and huge", bytes: 2 ** 33, packedBytes: 9, offset: 2 ** 40 }),
  ];
  const offset = 2 ** 40 + 1_000;
  const bytes = Buffer.concat(central).length;
  // Readers start at the end: the front may be a hole.
  const path = join(directory, "huge.zip");
  const fd = openSync(path, "w");
  const tail = Buffer.concat([...central, endRecords({ entries: 3, bytes, offset })]);
  writeSync(fd, tail, 0, tail.length, offset);
  closeSync(fd);
  const fields = "[i.filename,i.file_size,i.compress_size,i.header_offset]";
  expect(await seenByPython(path, `[${fields} for i in z.infolist()]`)).toEqual([
    ["huge", 6_000_000_000, 5_000_000_000, 0],
    ["far", 5, 7, 5_000_000_100],
    ["far and huge", 2 ** 33, 9, 2 ** 40],
  ]);
});

test("data that cannot be compressed costs less than a thousandth", async () => {
  const tree = fresh();
  const random = Buffer.concat(Array.from({ length: 64 }, () => crypto.getRandomValues(new Uint8Array(65_536))));
  writeFileSync(join(tree, "random"), random);
  expect((await bytesOf(zipStream(tree))).length).toBeLessThan(random.length * 1.001);
});

import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../../src/files/remove.ts";
import { makeHostileTree } from "./hostile-tree.ts";
import { openBelow, scratch } from "./scratch.ts";

const directory = scratch();

test("a hostile tree is removed whole, and nothing that its links lead to", async () => {
  const tree = await makeHostileTree();
  tree.close();
  const removed = await removeTree(tree.work);
  expect(removed).toBeGreaterThan(650);
  expect(existsSync(tree.work)).toBe(false);
  expect(readFileSync(join(tree.top, "outside/secret"), "utf8")).toStartWith("TOPSECRET");
  await removeTree(tree.top);
}, 30_000);

test("what is not there is no error", async () => {
  expect(await removeTree(join(directory, "nothing"))).toBe(0);
});

test("a link in the place of the directory is removed itself", async () => {
  mkdirSync(join(directory, "kept"));
  writeFileSync(join(directory, "kept/file"), "");
  symlinkSync("kept", join(directory, "link"));
  expect(await removeTree(join(directory, "link"))).toBe(1);
  expect(existsSync(join(directory, "kept/file"))).toBe(true);
});

test("5,000 files leave the event loop its turns", async () => {
  const many = join(directory, "many");
  mkdirSync(many);
  for (let index = 0; index < 5_000; index += 1) writeFileSync(join(many, `f${index}`), "");
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  expect(await removeTree(many)).toBe(5_001);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(1);
}, 30_000);

test("closed directories inside closed directories are removed", async () => {
  const top = join(directory, "closed");
  mkdirSync(join(top, "a/b/c"), { recursive: true });
  writeFileSync(join(top, "a/b/c/file"), "");
  for (const path of ["a/b/c", "a/b", "a", ""]) chmodSync(join(top, path), 0);
  expect(await removeTree(top)).toBe(5);
  expect(openBelow(directory)).toEqual([]);
});

test.skipIf(process.getuid?.() !== 0)(
  "a server without privileges reads and removes what closed itself",
  async () => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "unprivileged.ts")], {
      stdout: "pipe",
      stderr: "inherit",
      env: {},
    });
    const facts = (await new Response(child.stdout).json()) as Record<string, unknown>;
    expect(facts).toEqual({
      uid: 65_534,
      closed: ["closed-directory/inside", "closed-file"],
      modes: [0, 0],
      zipBytes: expect.any(Number),
      isGone: true,
    });
    expect(facts.zipBytes).toBeGreaterThan(10_000);
  },
  30_000,
);

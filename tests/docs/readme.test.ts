import { expect, test } from "bun:test";
import { join } from "node:path";
import { configTable } from "../../src/config.ts";

const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();

test("the README's table of settings is the one the program makes", () => {
  const table = readme.split("<!-- config -->")[1]?.trim() ?? "";
  expect(squeezed(table)).toBe(squeezed(configTable()));
});

/** A formatter may pad the cells. */
function squeezed(table: string): string {
  return table
    .split("\n")
    .map((row) => row.replace(/\s*\|\s*/g, "|").replace(/-{3,}/g, "---"))
    .join("\n");
}

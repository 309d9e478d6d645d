import { expect, test } from "bun:test";
import { join } from "node:path";
import { configTable } from "../../src/config.ts";
import { type Results, resultsTable } from "../bench/results.ts";

const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();

test("the README's table of settings is the one the program makes", () => {
  const table = readme.split("<!-- config -->")[1]?.trim() ?? "";
  expect(squeezed(table)).toBe(squeezed(configTable()));
});

test("the README's figures are those of the last measurement", async () => {
  const results: Results = await Bun.file(join(import.meta.dir, "../bench/results.json")).json();
  const table = readme.split("<!-- bench -->")[1]?.trim() ?? "";
  expect(squeezed(table)).toBe(squeezed(resultsTable(results)));
});

/** A formatter may pad the cells. */
function squeezed(table: string): string {
  return table
    .split("\n")
    .map((row) => row.replace(/\s*\|\s*/g, "|").replace(/-{3,}/g, "---"))
    .join("\n");
}

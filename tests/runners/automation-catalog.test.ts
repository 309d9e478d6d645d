import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { AutomationCatalog, declaredParameters } from "../../src/runners/automation/catalog.ts";
import { findChromium } from "../../src/runners/automation/find-chromium.ts";

setDefaultTimeout(60_000);

const directory = mkdtempSync(join(tmpdir(), "catalog-"));
const marker = join(directory, "loaded-in");

afterAll(() => rmSync(directory, { recursive: true }));

describe("the catalog of automations", () => {
  test("holds TypeScript files and documents, and says what is wrong with the others", async () => {
    write(
      "greet.ts",
      `
      import { defineAutomation } from "fairlead/automations";
      import { writeFileSync } from "node:fs";
      console.log("loading");
      writeFileSync(${JSON.stringify(marker)}, String(process.pid));
      export default defineAutomation({ description: "Greets", parameters: { who: ["Ann", 1, true] }, run: async () => ({}) });
    `,
    );
    write("plain.ts", "export default { parameters: {}, run: async () => {} };");
    write("empty.json", { url: "http://a.test", parameters: { input_parameters: { id: ["x"] } }, nodes: [] });
    write("warns.json", { url: "http://a.test", nodes: [{ condition: "exec(1)", if_nodes: [] }] });
    write("throws.ts", 'throw new TypeError("no luck");');
    write("ends.ts", "process.exit(3);");
    write("syntax.ts", "export default {{{");
    write("undefined.ts", "export const a = 1;");
    write("names.ts", "export default { parameters: { 'a b': ['x'] }, run: async () => {} };");
    write("lists.ts", "export default { parameters: { a: 'x' }, run: async () => {} };");
    write("broken.json", "{");
    write("wrong.json", { url: 1, nodes: [{}] });
    write("twice.ts", "export default { parameters: {}, run: async () => {} };");
    write("twice.json", { url: "http://a.test", nodes: [] });
    write("bad name.json", { url: "http://a.test", nodes: [] });
    for (const ignored of ["_draft.ts", ".hidden.json", "types.d.ts", "greet.test.ts", "notes.md"])
      write(ignored, "{{{");
    mkdirSync(join(directory, "pages"));

    const catalog = new AutomationCatalog(directory);
    const { entries, problems, warnings, pagesDirectory } = await catalog.load();
    expect([...entries.keys()]).toEqual(["empty", "greet", "plain", "warns"]);
    expect(entries.get("greet")).toMatchObject({
      kind: "script",
      description: "Greets",
      parameters: { who: ["Ann", 1, true] },
    });
    const document = entries.get("empty");
    expect(document && declaredParameters(document)).toEqual({ input: { id: ["x"] }, secure: {} });
    expect(Object.fromEntries(problems)).toEqual({
      throws: "throws.ts: TypeError: no luck",
      ends: expect.stringContaining("ends.ts: the file ended the process while it was loaded"),
      syntax: expect.stringContaining("syntax.ts: "),
      undefined: "undefined.ts: the file must `export default defineAutomation({ parameters, run })`",
      names: expect.stringContaining('"a b" is not a name'),
      lists: expect.stringContaining('"a" must be a list'),
      broken: expect.stringContaining("broken.json: no JSON: "),
      wrong: expect.stringContaining(
        'wrong.json: The automation document has 2 problems: document: "url" must be a text, not 1; node 1',
      ),
      twice: "twice.json and twice.ts have the same name: remove one",
      "bad name": expect.stringContaining("may hold letters, digits"),
    });
    expect(warnings).toEqual([expect.stringContaining("warns.json: node 1 (if_else_node)")]);
    expect(pagesDirectory).toBe(join(directory, "pages"));
  });

  test("runs nothing of a file in this process", async () => {
    expect(await Bun.file(marker).text()).not.toBe(String(process.pid));
  });

  test("is read anew on demand", async () => {
    const catalog = new AutomationCatalog(directory);
    await catalog.load();
    const before = catalog.generation;
    rmSync(join(directory, "plain.ts"));
    write("broken.json", { url: "http://a.test", nodes: [] });
    await catalog.load();
    expect([catalog.current.entries.has("plain"), catalog.current.entries.has("broken")]).toEqual([false, true]);
    expect(catalog.generation).toBeGreaterThan(before);
  });

  test("is empty where there is no directory", async () => {
    const catalog = await new AutomationCatalog(join(directory, "nowhere")).load();
    expect(catalog).toMatchObject({ entries: new Map(), problems: new Map(), warnings: [], pagesDirectory: null });
  });

  test("has samples without a problem", async () => {
    const { entries, problems, warnings } = await new AutomationCatalog(
      resolve(import.meta.dir, "../../automations"),
    ).load();
    expect([...entries.keys()]).toEqual(["sign-up", "sign-up-document"]);
    expect([problems.size, warnings]).toEqual([0, []]);
  });
});

describe("Chromium", () => {
  test("is found on the path, or where it is said to be", () => {
    const program = join(directory, "chromium-browser");
    writeFileSync(program, "", { mode: 0o755 });
    expect(findChromium("", directory)).toEqual({ path: program });
    expect(findChromium(program, "")).toEqual({ path: program });
    writeFileSync(join(directory, "text"), "", { mode: 0o644 });
    expect(findChromium(join(directory, "text"), directory)).toMatchObject({
      problem: expect.stringContaining("is no program"),
    });
  });
});

function write(name: string, content: string | object): void {
  writeFileSync(join(directory, name), typeof content === "string" ? content : JSON.stringify(content));
}

import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, extname, join, resolve } from "node:path";
import { describeAutomation } from "./describe-automation.ts";
import { AutomationDocumentError, readDocument } from "./document.ts";
import type { AutomationDocument } from "./document-model.ts";
import type { DeclaredParameters } from "./parameters.ts";

export type CatalogEntry =
  | { kind: "document"; name: string; file: string; document: AutomationDocument }
  | { kind: "script"; name: string; file: string; description: string | null; parameters: DeclaredParameters["input"] };
/** What AUTOMATIONS_DIR holds. `problems` are files that cannot be used; `warnings` parts that will fail when reached. */
export type Catalog = {
  entries: ReadonlyMap<string, CatalogEntry>;
  problems: ReadonlyMap<string, string>;
  warnings: string[];
  /** `pages/` in the directory, when it is there. */
  pagesDirectory: string | null;
};

const filesMax = 1_000;
const documentBytesMax = 10 * 1_024 * 1_024;
const describedAtOnce = 2;
const namePattern = /^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,199}$/u;

/** The automations of a directory, read anew on demand. `generation` changes with every load. */
export class AutomationCatalog {
  readonly directory: string;
  #catalog: Catalog = { entries: new Map(), problems: new Map(), warnings: [], pagesDirectory: null };
  #generation = 0;

  constructor(directory: string) {
    this.directory = resolve(directory);
  }

  get current(): Catalog {
    return this.#catalog;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Reads every file. TypeScript files are loaded in processes of their own, never here. A missing directory is empty. */
  async load(): Promise<Catalog> {
    this.#catalog = await readCatalog(this.directory);
    this.#generation += 1;
    return this.#catalog;
  }
}

/** The parameters that an automation declares, whatever its kind. */
export function declaredParameters(entry: CatalogEntry): DeclaredParameters {
  if (entry.kind === "script") return { input: entry.parameters, secure: {} };
  return { input: entry.document.parameters.input, secure: entry.document.parameters.secure };
}

type Draft = { entries: Map<string, CatalogEntry>; problems: Map<string, string>; warnings: string[] };

async function readCatalog(directory: string): Promise<Catalog> {
  const draft: Draft = { entries: new Map(), problems: new Map(), warnings: [] };
  const pages = join(directory, "pages");
  const pagesDirectory = existsSync(pages) && statSync(pages).isDirectory() ? pages : null;
  const waiting = automationFiles(directory, draft);
  const readers = Array.from({ length: describedAtOnce }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
      await readFile(join(directory, file), draft);
  });
  await Promise.all(readers);
  const entries = new Map([...draft.entries].sort(([a], [b]) => (a < b ? -1 : 1)));
  return { entries, problems: draft.problems, warnings: draft.warnings, pagesDirectory };
}

function automationFiles(directory: string, draft: Draft): string[] {
  if (!existsSync(directory)) return [];
  const isAutomation = (name: string) => /\.(ts|json)$/.test(name) && !/^[._]|\.d\.ts$|\.test\.ts$/.test(name);
  const files = readdirSync(directory, { withFileTypes: true })
    .filter((file) => !file.isDirectory() && isAutomation(file.name))
    .map((file) => file.name)
    .sort();
  const seen = new Map<string, string>();
  const usable = files.filter((file) => {
    const name = nameOf(file);
    const twin = seen.get(name);
    seen.set(name, file);
    if (twin !== undefined) draft.problems.set(name, `${twin} and ${file} have the same name: remove one`);
    else if (!namePattern.test(name))
      draft.problems.set(name, `${file}: the name may hold letters, digits, _, . and -`);
    else return true;
    return false;
  });
  if (usable.length > filesMax) draft.problems.set("", `${directory} holds more than ${filesMax} automations`);
  return usable.slice(0, filesMax);
}

async function readFile(file: string, draft: Draft): Promise<void> {
  const name = nameOf(file);
  if (draft.problems.has(name)) return;
  if (extname(file) === ".json") return await readJson(file, name, draft);
  const inspection = await describeAutomation(file);
  if ("problem" in inspection) draft.problems.set(name, `${basename(file)}: ${inspection.problem}`);
  else draft.entries.set(name, { kind: "script", name, file, ...inspection });
}

async function readJson(path: string, name: string, draft: Draft): Promise<void> {
  const file = Bun.file(path);
  const problem = (text: string) => draft.problems.set(name, `${basename(path)}: ${text}`);
  if (file.size > documentBytesMax) {
    problem(`larger than ${documentBytesMax / 1_048_576} MiB`);
    return;
  }
  try {
    const { document, warnings } = readDocument(JSON.parse(await file.text()));
    draft.entries.set(name, { kind: "document", name, file: path, document });
    draft.warnings.push(...warnings.map((warning) => `${basename(path)}: ${warning}`));
  } catch (fault) {
    if (fault instanceof AutomationDocumentError) problem(fault.message);
    else problem(fault instanceof SyntaxError ? `no JSON: ${fault.message}` : `cannot be read: ${String(fault)}`);
  }
}

function nameOf(file: string): string {
  return basename(file, extname(file));
}

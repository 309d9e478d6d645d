import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { RunSink } from "../contract.ts";
import { type FunctionEntry, type FunctionProblem, readDescription } from "./description.ts";
import type { FunctionPool } from "./pool.ts";
import { Speed } from "./speed.ts";
import { Work, type WorkEnd } from "./work.ts";

export type CatalogOptions = { directory: string; pool: FunctionPool; loadTimeoutMs: number; memoryMbMax: number };

/**
 * The functions of a directory. What a file declares is asked of a function process, so that no file runs in the server; one
 * that cannot be served is a problem to be shown, and the others are served.
 */
export class FunctionCatalog {
  readonly #options: CatalogOptions;
  #entries = new Map<string, FunctionEntry>();
  #problems: FunctionProblem[] = [];
  #note: string | null = null;

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  /** Every function that can be called, by name. */
  list(): FunctionEntry[] {
    return [...this.#entries.values()];
  }

  get(name: string): FunctionEntry | undefined {
    return this.#entries.get(name);
  }

  /** Files that are not served. */
  problems(): FunctionProblem[] {
    return this.#problems;
  }

  /** What an operator should know about the directory as a whole; null when there is nothing to say. */
  note(): string | null {
    return this.#note;
  }

  /** Reads the directory again. Until it is done the previous functions are served. */
  async load(): Promise<void> {
    const { directory } = this.#options;
    const files = await functionFiles(directory);
    if (files === null) {
      this.#replace([], [], `FUNCTIONS_DIR ${directory} does not exist: no functions are served`);
      return;
    }
    const chosen = withoutDoubles(files);
    const found = await Promise.all(chosen.files.map((file) => this.#describe(file)));
    const entries = found.filter((one): one is FunctionEntry => "params" in one);
    const problems = found.filter((one): one is FunctionProblem => !("params" in one));
    this.#replace(entries, [...chosen.problems, ...problems], null);
  }

  #replace(entries: FunctionEntry[], problems: FunctionProblem[], note: string | null): void {
    this.#entries = new Map(entries.map((entry) => [entry.name, entry]));
    this.#problems = problems;
    this.#note = note;
  }

  async #describe(fileName: string): Promise<FunctionEntry | FunctionProblem> {
    const { directory, pool, loadTimeoutMs, memoryMbMax } = this.#options;
    const name = functionName(fileName);
    const file = join(directory, fileName);
    const work = new Work({
      order: (nonce) => ({ kind: "describe", nonce, file, name }),
      sink: silentSink,
      timeoutMs: loadTimeoutMs,
      memoryMbMax,
      outputBytesMax: 0,
      speed: new Speed(),
    });
    pool.submit(work);
    const end = await work.ended;
    try {
      return { name, file, ...readDescription(answerOf(end, work, loadTimeoutMs)) };
    } catch (fault) {
      if (fault instanceof LoadProblem) return { file: fileName, line: fault.line, message: fault.message };
      return { file: fileName, line: null, message: fault instanceof Error ? fault.message : String(fault) };
    }
  }
}

class LoadProblem extends Error {
  constructor(
    readonly line: number | null,
    message: string,
  ) {
    super(message);
  }
}

const silentSink: RunSink = { log: () => undefined, output: () => undefined, progress: () => undefined };

function answerOf(end: WorkEnd, work: Work, loadTimeoutMs: number): unknown {
  if (work.stopReason === "timed_out") throw new LoadProblem(null, `loading it took longer than ${loadTimeoutMs} ms`);
  if (end.by === "exit") {
    const how = end.signal === null ? `with exit code ${end.exitCode}` : `by ${end.signal}`;
    throw new LoadProblem(null, `it ended its process ${how} while it was loaded`);
  }
  if (end.by !== "done") throw new LoadProblem(null, "message" in end ? end.message : "it could not be loaded");
  const answer: unknown = JSON.parse(end.json);
  if (typeof answer !== "object" || answer === null || !("problem" in answer)) return answer;
  const problem = answer.problem as { line: number | null; message: string };
  throw new LoadProblem(problem.line, problem.message);
}

const functionFile = /^[^._].*\.(?:ts|js)$/;

/** Names of the files that hold functions, sorted; null when there is no such directory. */
async function functionFiles(directory: string): Promise<string[] | null> {
  const isThere = await stat(directory).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isThere) return null;
  const found = await readdir(directory, { withFileTypes: true });
  const names = found.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
  return names.filter((name) => functionFile.test(name) && !name.endsWith(".d.ts")).sort();
}

/** `hello.ts`, `hello.js` and `hello.example.ts` are all called `hello`. */
function functionName(fileName: string): string {
  return basename(fileName)
    .replace(/\.(?:ts|js)$/, "")
    .replace(/\.example$/, "");
}

function withoutDoubles(files: string[]): { files: string[]; problems: FunctionProblem[] } {
  const chosen = new Map<string, string>();
  const problems: FunctionProblem[] = [];
  const examplesLast = files.toSorted((a, b) => Number(a.includes(".example.")) - Number(b.includes(".example.")));
  for (const file of examplesLast) {
    const name = functionName(file);
    const other = chosen.get(name);
    if (other === undefined) chosen.set(name, file);
    else problems.push({ file, line: null, message: `${other} is served under the name ${name}: rename one of them` });
  }
  return { files: [...chosen.values()].sort(), problems };
}

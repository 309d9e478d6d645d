import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";

const repository = resolve(import.meta.dir, "..");
const sourceLinesMax = 300;

type Source = { path: string; text: string; code: string };
type Import = { specifier: string; isTypeOnly: boolean; line: number; text: string };

const self = "tests/tidy.test.ts";
const everything = readSources("{src,tests,scripts,functions}/**/*.ts").filter(({ path }) => path !== self);
const production = everything.filter(({ path }) => path.startsWith("src/"));
const tests = everything.filter(({ path }) => path.startsWith("tests/"));

/** Rooms from the ground up. A room imports rooms of lower rows, its own files, and nothing else of `src/`. */
const rows = [
  [
    "errors",
    "log",
    "buckets",
    "within",
    "carried",
    "setting",
    "settings",
    "config",
    "functions",
    "automations",
    "client",
    "contract",
  ],
  ["db"],
  ["queue"],
  ["runners", "files", "engine"],
  ["worker", "webhooks", "http"],
  ["surfaces", "dashboard", "tracing"],
  ["app"],
  ["cli"],
  ["main"],
];

/** The only ones that may have the values of the configuration; everybody else is given them and knows the type. */
const configReaders = ["main", "app", "cli", "config"];

describe("imports", () => {
  test("point down, from main to errors", () => {
    const upward = imports(production).filter(
      ({ from, to, isTypeOnly }) =>
        to !== null && !isAllowed(from, to.room) && !isShapeOfApi(from, to.path, isTypeOnly),
    );
    expect(upward.map(({ at, from, to }) => `${at}: ${from} imports ${to?.room}`)).toEqual([]);
  });

  test("never go from one surface to another", () => {
    const across = imports(production).filter(
      ({ path, to }) => surfaceOf(path) && surfaceOf(to?.path ?? "") && surfaceOf(path) !== surfaceOf(to?.path ?? ""),
    );
    expect(across.map(({ at, to }) => `${at}: imports ${to?.path}`)).toEqual([]);
  });

  test("take the configuration as a type below the app", () => {
    const values = imports(production).filter(
      ({ from, to, isTypeOnly }) => to?.room === "config" && !isTypeOnly && !configReaders.includes(from),
    );
    expect(values.map(({ at }) => at)).toEqual([]);
  });

  test("of the command line reach nothing but the ground", () => {
    const inward = imports(production).filter(
      ({ from, to }) => from === "cli" && to && to.room !== "cli" && !rows[0]?.includes(to.room),
    );
    expect(inward.map(({ at, to }) => `${at}: imports ${to?.room}`)).toEqual([]);
  });

  test("of pg-boss stand in the queue alone", () => {
    const elsewhere = imports(production).filter(({ specifier, from }) => specifier === "pg-boss" && from !== "queue");
    expect(elsewhere.map(({ at }) => at)).toEqual([]);
  });

  test("of OpenTelemetry stand in the room of traces alone, which is loaded when it is asked for", () => {
    const elsewhere = imports(production).filter(
      ({ specifier, from }) => specifier.startsWith("@opentelemetry/") && from !== "tracing",
    );
    const early = imports(production).filter(
      ({ from, to, isTypeOnly, text }) =>
        to?.room === "tracing" && from !== "tracing" && !isTypeOnly && !/\bimport\(/.test(text),
    );
    expect([...elsewhere, ...early].map(({ at }) => at)).toEqual([]);
  });

  test("of files name them in full", () => {
    const short = imports(everything).filter(
      ({ specifier }) => specifier.startsWith(".") && !/\.(ts|m?js|json|html|css|svg|txt|sql)$/.test(specifier),
    );
    expect(short.map(({ at, specifier }) => `${at}: ${specifier}`)).toEqual([]);
  });
});

describe("files", () => {
  test(`of the source have at most ${sourceLinesMax} lines`, () => {
    const long = production.filter(({ text }) => text.trimEnd().split("\n").length > sourceLinesMax);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  test("are named for what they hold", () => {
    const vague = /(^|\/)(utils?|helpers?|common|misc|shared|index)(\/|\.[a-z.]*$)/;
    expect(everything.map(({ path }) => path).filter((path) => vague.test(path))).toEqual([]);
  });
});

describe("code", () => {
  test("has no any", () => {
    expect(findIn(everything, /(?::|\bas|<|\||,|=>)\s*any\b(?=\s*[[\]>,;)=|&{}]|$)/gm, "code")).toEqual([]);
  });

  test("reads the environment in src/config.ts alone", () => {
    const allowed = ["src/config.ts", "src/runners/function/child.ts"];
    const others = production.filter(({ path }) => !allowed.includes(path));
    expect(findIn(others, /\bprocess\s*\.\s*env\b|\bBun\.env\b|\bimport\.meta\.env\b/g, "code")).toEqual([]);
  });

  test("has no empty catch, and says why where it ignores a fault", () => {
    const blocks = findIn(everything, /\bcatch\s*(?:\([^)]*\)\s*)?\{\s*\}/g, "text");
    const swallowed = /\.catch\(\s*\(\w*\)\s*=>\s*(?:\{\s*\}|undefined|null|void 0)\s*\)/g;
    const silent = findIn(production, swallowed, "text", (line, above) => !/\/\/|\*\//.test(line + above));
    expect([...blocks, ...silent]).toEqual([]);
  });
});

describe("words", () => {
  test("leave nothing for later", () => {
    expect(findIn(everything, /\b(?:TODO|FIXME|XXX|HACK)\b/g, "text")).toEqual([]);
  });

  test("stand without banners", () => {
    expect(findIn(everything, /^\s*(?:\/\/|\/\*+)\s*[-=*#~_─━═]{3,}/gm, "text")).toEqual([]);
  });

  test("stand without emoji", () => {
    const spoken = everything.filter(({ path }) => !path.startsWith("tests/"));
    expect(findIn(spoken, /\p{Emoji_Presentation}|\u{FE0F}/gu, "text")).toEqual([]);
  });
});

describe("tests", () => {
  test("are neither singled out nor put aside", () => {
    const pattern =
      /\b(?:test|it|describe)(?:\.\w+)*\.(?:only|todo|skip|failing)\s*\(|\b(?:xit|xtest|xdescribe|fit|fdescribe)\s*\(/g;
    expect(findIn(tests, pattern, "code")).toEqual([]);
  });

  test("are found by their names", () => {
    const declared = tests.filter(({ code }) => /^(?:test|describe)(?:\.\w+)?\(/m.test(code));
    expect(declared.map(({ path }) => path).filter((path) => !path.endsWith(".test.ts"))).toEqual([]);
  });
});

function readSources(pattern: string): Source[] {
  const paths = [...new Bun.Glob(pattern).scanSync({ cwd: repository })].sort();
  return paths.map((path) => {
    const text = readFileSync(join(repository, path), "utf8");
    return { path, text, code: withoutComments(text) };
  });
}

/** Comments and what is in quotes become spaces, so that places stay what they are. Regular expressions stay. */
function withoutComments(text: string): string {
  const parts = /\/\*[\s\S]*?\*\/|(?<![:\\])\/\/.*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g;
  return text.replace(parts, (part) => part.replace(/[^\n]/g, " "));
}

function imports(sources: Source[]) {
  return sources.flatMap(({ path, text }) =>
    readImports(text).map((found) => ({
      ...found,
      path,
      at: `${path}:${found.line}`,
      from: roomOf(path) ?? "",
      to: target(path, found.specifier),
    })),
  );
}

/** By text and not by `Bun.Transpiler`, which leaves out what is imported as a type. */
function readImports(text: string): Import[] {
  const pattern = /^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;
  return [...text.matchAll(pattern)].map((found) => ({
    specifier: found[2] ?? found[3] ?? "",
    isTypeOnly: found[1] !== undefined,
    line: lineAt(text, found.index + found[0].search(/\S/)),
    text: found[0],
  }));
}

function target(path: string, specifier: string): { path: string; room: string } | null {
  if (!specifier.startsWith(".")) return null;
  const reached = normalize(join(dirname(path), specifier));
  const room = roomOf(reached);
  return room === null ? null : { path: reached, room };
}

/** The app may be told in several files. What a run is and may use is said to everybody: that stands on the ground. */
function roomOf(path: string): string | null {
  if (/^src\/runners\/(contract|limits)\.ts$/.test(path)) return "contract";
  return /^src\/(app(?=[-.])|[^/.]+)/.exec(path)?.[1] ?? null;
}

function surfaceOf(path: string): string | null {
  return /^src\/surfaces\/([^/]+)\//.exec(path)?.[1] ?? null;
}

function isAllowed(from: string, to: string): boolean {
  const row = (room: string) => rows.findIndex((rooms) => rooms.includes(room));
  if (from === to || row(from) === 0) return row(to) === row(from);
  return row(to) >= 0 && row(to) < row(from);
}

/** The client is typed by the models of the API, and takes nothing else of the service. */
function isShapeOfApi(from: string, path: string, isTypeOnly: boolean): boolean {
  return from === "client" && isTypeOnly && /^src\/surfaces\/api\/wire-[a-z]+\.ts$/.test(path);
}

function findIn(
  sources: Source[],
  pattern: RegExp,
  where: "text" | "code",
  isMeant: (line: string, above: string) => boolean = () => true,
): string[] {
  return sources.flatMap((source) => {
    const lines = source.text.split("\n");
    return [...source[where].matchAll(pattern)].flatMap((found) => {
      const line = lineAt(source.text, found.index + found[0].search(/\S/));
      const [shown, above] = [lines[line - 1] ?? "", lines[line - 2] ?? ""];
      return isMeant(shown, above) ? [`${source.path}:${line}: ${shown.trim()}`] : [];
    });
  });
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

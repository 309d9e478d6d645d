import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { whenFileEnds } from "../support/ending.ts";
import { until } from "../support/until.ts";

/** What a command did. */
export type Done = { code: number; out: string; err: string };

/** A command that runs. It is killed at the end of the file, should it still run. */
export type Started = {
  pid: number;
  out(): string;
  err(): string;
  /** Waits until stderr holds the text. */
  says(text: string | RegExp): Promise<RegExpExecArray>;
  /** Waits until stdout holds the text. */
  prints(text: string | RegExp): Promise<RegExpExecArray>;
  interrupt(): void;
  done: Promise<Done>;
};

type Options = { environment?: Record<string, string>; cwd?: string; stdin?: string };

const main = resolve(import.meta.dir, "../../src/main.ts");
const withinMs = 30_000;

/** Runs `fairlead` as a process of its own, with nothing of this one's environment but the path. */
export function startCli(words: readonly string[], { environment = {}, cwd, stdin }: Options = {}): Started {
  const child = Bun.spawn([process.execPath, main, ...words], {
    cwd: cwd ?? tmpdir(),
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...environment },
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  whenFileEnds(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const [out, err] = [collect(child.stdout), collect(child.stderr)];
  const wait = (what: string, from: () => string, text: string | RegExp) =>
    until(`${what} holds ${text}: ${words.join(" ")}`, () => matchIn(from(), text), { withinMs });
  return {
    pid: child.pid,
    out: out.text,
    err: err.text,
    says: (text) => wait("stderr", err.text, text),
    prints: (text) => wait("stdout", out.text, text),
    interrupt: () => child.kill("SIGINT"),
    done: Promise.all([child.exited, out.ended, err.ended]).then(([code]) => ({
      code,
      out: out.text(),
      err: err.text(),
    })),
  };
}

export function cli(words: readonly string[], options: Options = {}): Promise<Done> {
  return startCli(words, options).done;
}

/** A directory under the system's temporary one, removed at the end of the file. */
export function scratch(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `fairlead-${name}-`));
  whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function matchIn(text: string, wanted: string | RegExp): RegExpExecArray | null {
  return (typeof wanted === "string" ? new RegExp(RegExp.escape(wanted)) : wanted).exec(text);
}

function collect(stream: ReadableStream<Uint8Array>): { text: () => string; ended: Promise<void> } {
  const decoder = new TextDecoder();
  let text = "";
  const ended = (async () => {
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  })();
  return { text: () => text, ended };
}

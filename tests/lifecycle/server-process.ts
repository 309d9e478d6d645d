import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { whenFileEnds } from "../support/ending.ts";
import { until } from "../support/until.ts";

export type LogLine = { event?: string; [field: string]: unknown };

/** `fairlead serve` as a process of its own. It is killed at the end of the file, should it still run. */
export type ServerProcess = {
  pid: number;
  /** Everything it has written so far, in lines. */
  said(): string[];
  /** The first line of that event, waited for. Fails at once when the process ends without it. */
  logged(event: string, withinMs?: number): Promise<LogLine>;
  /** Waits until it is ready; `url` is known from then on. */
  ready(): Promise<ServerProcess>;
  url: string;
  call(path: string, init?: RequestInit): Promise<Response>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  signal(signal: NodeJS.Signals): void;
  /** The exit code, or 128 and more for a signal. */
  exited: Promise<number>;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the exit code. */
  stop(): Promise<number>;
};

export const root = resolve(import.meta.dir, "../..");
export const supportFunctions = join(root, "tests/support/functions");
const readyWithinMs = 60_000;

/** A directory under the system's temporary one, removed at the end of the file. */
export function scratchDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `fairlead-${name}-`));
  whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts a server with these variables over what suits a test. Give it `DATA_DIR`, and `DATABASE_URL` unless it shall have its own Postgres; `program` may be another form of the same. */
export function spawnServer(
  environment: Record<string, string>,
  words: string[] = [],
  { program, cwd } = { program: [process.execPath, join(root, "src/main.ts")], cwd: root },
): ServerProcess {
  const child = Bun.spawn([...program, "serve", ...words], {
    cwd,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: process.env["HOME"] ?? "",
      PORT: "0",
      WEBSOCKET_PORT: "0",
      NODE_NAME: `node-${crypto.randomUUID().slice(0, 8)}`,
      ...environment,
    },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  const lines: string[] = [];
  void collect(child.stderr, lines);
  whenFileEnds(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const server: ServerProcess = {
    pid: child.pid,
    url: "",
    said: () => [...lines],
    logged(event, withinMs = readyWithinMs) {
      const find = () => lines.map(parse).find((line) => line.event === event);
      return until(
        `the server logs "${event}"`,
        () => {
          const found = find();
          if (found === undefined && isOver()) throw new Error(`The server ended: ${lines.join("\n")}`);
          return found;
        },
        { withinMs, everyMs: 5 },
      );
    },
    async ready() {
      const { url } = await server.logged("ready");
      server.url = String(url);
      return server;
    },
    call: (path, init) => fetch(`${server.url}${path}`, init),
    post: (path, body, headers = {}) =>
      server.call(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(body),
      }),
    signal: (signal) => child.kill(signal),
    exited: child.exited,
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
    stop() {
      child.kill("SIGTERM");
      return child.exited;
    },
  };
  return server;
}

async function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
  }
  if (rest !== "") lines.push(rest);
}

function parse(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    // What is meant for people is no JSON.
    return {};
  }
}

import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childCommand } from "../../carried.ts";
import { tokenVariable } from "../sandbox/tag.ts";
import type { ChildSettings, Reply, TaskOrder } from "./messages.ts";
import { killTree, memoryOf } from "./process-tree.ts";

export type BrowserProcessOptions = {
  chromium: string;
  /** Where downloads arrive, in a directory of the process's own that goes with it. */
  workDirectory: string;
  environment: Record<string, string>;
  killGraceMs: number;
};
/** How a task ended as far as the process could tell. */
export type ProcessEnd =
  Extract<Reply, { kind: "done" }> | { kind: "exited"; exitCode: number | null; signal: string | null };
export type OutputSink = (stream: "stdout" | "stderr", text: string) => void;

const settleMs = 50;

/** A child process with a warm browser, in a process group and directory of its own. Runs one task at a time. */
export class BrowserProcess {
  readonly #token = `fairlead-browser:${randomUUID()}`;
  readonly #arrivals: string;
  /** Home, temporary files and the profile. Short, as Chromium puts a socket there whose path may have 107 bytes. */
  readonly #home: string;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #ready = Promise.withResolvers<void>();
  #onReply: (reply: Reply) => void = () => undefined;
  #onOutput: OutputSink = () => undefined;
  #stopping: Promise<number[]> | null = null;
  #isRetiring = false;

  constructor(readonly options: BrowserProcessOptions) {
    mkdirSync(options.workDirectory, { recursive: true, mode: 0o700 });
    this.#arrivals = mkdtempSync(join(options.workDirectory, "arrivals-"));
    this.#home = mkdtempSync(join(tmpdir(), "fairlead-browser-"));
    const settings: ChildSettings = {
      chromium: options.chromium,
      chromiumSandbox: process.getuid?.() !== 0,
      arrivalsDirectory: this.#arrivals,
    };
    const start = childCommand("browser");
    this.#process = Bun.spawn([...start.command, JSON.stringify(settings)], {
      cwd: this.#home,
      env: {
        ...options.environment,
        ...start.environment,
        HOME: this.#home,
        TMPDIR: this.#home,
        [tokenVariable]: this.#token,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
      ipc: (reply: Reply) => this.#receive(reply),
      onExit: () => this.#onExit(),
    });
    void this.#read("stdout");
    void this.#read("stderr");
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** False once it has ended, is ending, or has said that it can run nothing more. */
  get isUsable(): boolean {
    return (
      !this.#isRetiring &&
      this.#stopping === null &&
      this.#process.exitCode === null &&
      this.#process.signalCode === null
    );
  }

  memoryMb(): Promise<number> {
    return memoryOf(this.pid);
  }

  /** Runs a task. Never rejects. */
  async run(order: TaskOrder, onReply: (reply: Reply) => void, onOutput: OutputSink): Promise<ProcessEnd> {
    const end = Promise.withResolvers<ProcessEnd>();
    this.#onReply = (reply) => {
      if (reply.kind === "done" && reply.nonce === order.nonce) end.resolve(reply);
      else onReply(reply);
    };
    this.#onOutput = onOutput;
    const ended = await Promise.race([this.#hand(order, end.promise), this.#exit()]);
    this.#onReply = () => undefined;
    this.#onOutput = () => undefined;
    return ended;
  }

  /** TERM, the grace, then KILL for whatever is left of the whole tree. Gives the processes that survived even that. */
  stop(): Promise<number[]> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<number[]> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill("SIGTERM");
    await Promise.race([this.#process.exited, Bun.sleep(this.options.killGraceMs)]);
    const survivors = await killTree(this.#token);
    this.#process.kill("SIGKILL");
    await this.#process.exited;
    for (const directory of [this.#arrivals, this.#home]) await rm(directory, { recursive: true, force: true });
    return survivors;
  }

  /** Only a process that is ready hears what it is told. */
  async #hand(order: TaskOrder, end: Promise<ProcessEnd>): Promise<ProcessEnd> {
    await this.#ready.promise;
    if (this.isUsable) this.#process.send(order);
    return await end;
  }

  async #exit(): Promise<ProcessEnd> {
    await this.#process.exited;
    // What it said last may still be on its way.
    await Bun.sleep(settleMs);
    return {
      kind: "exited",
      exitCode: this.#process.exitCode,
      signal: this.#process.signalCode === null ? null : String(this.#process.signalCode),
    };
  }

  #receive(reply: Reply): void {
    if (reply.kind === "ready") this.#ready.resolve();
    if (reply.kind === "retiring") this.#isRetiring = true;
    this.#onReply(reply);
  }

  /** A process that died by itself leaves a browser and files behind. */
  #onExit(): void {
    void this.stop();
  }

  async #read(stream: "stdout" | "stderr"): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process[stream]) this.#onOutput(stream, decoder.decode(chunk, { stream: true }));
  }
}

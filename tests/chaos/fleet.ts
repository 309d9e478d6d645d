import { resolve } from "node:path";
import type { ChildOptions } from "./child.ts";

const childPath = resolve(import.meta.dir, "child.ts");

/** A server process of the harness. `port` is null until it is ready. */
export type Server = {
  nodeId: string;
  process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  port: number | null;
  isFrozen: boolean;
};

export type FleetOptions = Omit<ChildOptions, "nodeId"> & { servers: number };

/** Servers that are killed, frozen and started anew. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #servers: Server[] = [];
  readonly complaints = new Map<string, number>();
  kills = 0;
  freezes = 0;
  #names = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    for (let n = 0; n < options.servers; n++) this.#start(this.#newName());
  }

  /** Those that answer. */
  get ready(): Server[] {
    return this.#servers.filter((server) => server.port !== null && !server.isFrozen);
  }

  /** Kills one, whatever it is doing, and starts another: by the same name, or by a new one. */
  async kill(server = pick(this.#servers.filter((one) => !one.isFrozen))): Promise<void> {
    if (server === undefined) return;
    this.kills++;
    this.#servers.splice(this.#servers.indexOf(server), 1);
    server.process.kill("SIGKILL");
    await server.process.exited;
    this.#start(Math.random() < 0.5 ? server.nodeId : this.#newName());
  }

  /** Freezes one for a while; the others see its lease run out. */
  async freeze(ms: number): Promise<void> {
    const server = this.ready.length > 1 ? pick(this.ready) : undefined;
    if (server === undefined) return;
    this.freezes++;
    server.isFrozen = true;
    server.process.kill("SIGSTOP");
    await Bun.sleep(ms);
    server.process.kill("SIGCONT");
    server.isFrozen = false;
  }

  async end(): Promise<void> {
    const servers = this.#servers.splice(0);
    for (const { process } of servers) process.kill("SIGKILL");
    await Promise.all(servers.map(({ process }) => process.exited));
  }

  #newName(): string {
    return `chaos-${++this.#names}`;
  }

  #start(nodeId: string): void {
    const { servers: _, ...options } = this.#options;
    const child = Bun.spawn([process.execPath, childPath, JSON.stringify({ ...options, nodeId })], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const server: Server = { nodeId, process: child, port: null, isFrozen: false };
    this.#servers.push(server);
    void this.#hear(server);
    void this.#heed(server);
  }

  async #hear(server: Server): Promise<void> {
    for await (const line of linesOf(server.process.stdout)) server.port = JSON.parse(line).port;
  }

  /** Counts what servers warn of, without what differs from case to case. */
  async #heed(server: Server): Promise<void> {
    for await (const line of linesOf(server.process.stderr)) {
      const said = line.startsWith("{") ? `${JSON.parse(line).level}: ${JSON.parse(line).event}` : line;
      this.complaints.set(said, (this.complaints.get(said) ?? 0) + 1);
    }
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") yield line;
  }
}

function pick<T>(from: readonly T[]): T | undefined {
  return from[Math.floor(Math.random() * from.length)];
}

import { existsSync } from "node:fs";
import { join } from "node:path";
import { scratchDirectory, type ServerProcess, spawnServer } from "../../lifecycle/server-process.ts";
import type { SocketAddress } from "../../support/cluster.ts";
import { type NetworkLink, openNetworkLink } from "../../support/network-link.ts";
import type { Random } from "./random.ts";

/** A node of the cluster under test: a real server behind a link of its own. */
export type ClusterNode = {
  name: string;
  server: ServerProcess;
  link: NetworkLink;
  /** It answers, as far as the test knows. */
  isUp: boolean;
  /** Something is being done to it: it is left alone until that is over. */
  isDisturbed: boolean;
};

export type ClusterOptions = {
  address: SocketAddress;
  names: readonly string[];
  /** Seconds; see `NODE_LEASE`. */
  leaseS: number;
  environment?: Record<string, string>;
  /** Seconds that a node's clock is off, by its name and the number of its start. */
  skewS?: (name: string) => number;
};

const fakeTimeLibrary = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/faketime/libfaketime.so.1`;
/** Whether this machine can set the clock of a process off. */
export const canSkewClocks = existsSync(fakeTimeLibrary);

const startsMax = 20;
const restartAfterMs = 500;

/** Real servers on one database, which can be killed, frozen, drained and cut off. */
export class ClusterNodes {
  readonly nodes: ClusterNode[] = [];
  /** What servers complained of, without what differs from case to case. */
  readonly complaints = new Map<string, number>();
  /** Starts that did not succeed, since the database was away or the node was killed at once. */
  failedStarts = 0;
  readonly #options: ClusterOptions;
  readonly #dataDirs = new Map<string, string>();
  #isOver = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** Starts all of them and waits until they are ready. */
  async start(): Promise<void> {
    for (const name of this.#options.names) {
      const link = await openNetworkLink(this.#options.address);
      this.#dataDirs.set(name, scratchDirectory("node"));
      this.nodes.push({ name, link, server: this.#spawn(name, link), isUp: false, isDisturbed: false });
    }
    await Promise.all(this.nodes.map((node) => this.#isReady(node)));
  }

  /** Those that answer. */
  get up(): ClusterNode[] {
    return this.nodes.filter((node) => node.isUp);
  }

  /** Those that nothing is done to. */
  get quiet(): ClusterNode[] {
    return this.nodes.filter((node) => node.isUp && !node.isDisturbed);
  }

  /** SIGKILL, and a new process of the same name. */
  async kill(node: ClusterNode): Promise<void> {
    await this.#disturbed(node, async () => {
      node.isUp = false;
      await node.server.kill();
      await this.#restart(node);
    });
  }

  /** SIGSTOP for a while. */
  async freeze(node: ClusterNode, ms: number): Promise<void> {
    await this.#disturbed(node, async () => {
      node.isUp = false;
      node.server.signal("SIGSTOP");
      await Bun.sleep(ms);
      node.server.signal("SIGCONT");
      node.isUp = true;
    });
  }

  /** SIGTERM, and a new process of the same name. Returns the exit code. It counts as up until it has ended: callers must cope. */
  async drain(node: ClusterNode): Promise<number> {
    let code = -1;
    await this.#disturbed(node, async () => {
      code = await node.server.stop();
      node.isUp = false;
      await this.#restart(node);
    });
    return code;
  }

  /** Disturbs a node's way to the database for a while. It goes on answering, with refusals. */
  async disconnect(node: ClusterNode, state: "cut" | "stalled" | "half-open", ms: number): Promise<void> {
    await this.#disturbed(node, async () => {
      node.link.state = state;
      await Bun.sleep(ms);
      node.link.state = "open";
    });
  }

  /** Starts again what ended by itself, as a service manager does. Returns how many those were. */
  async revive(): Promise<number> {
    const dead = this.quiet.filter((node) => !isAlive(node.server.pid));
    await Promise.all(dead.map((node) => this.#disturbed(node, () => this.#restart(node))));
    return dead.length;
  }

  /** Ends all of them in order; returns their exit codes. */
  async stop(): Promise<number[]> {
    this.#isOver = true;
    const codes = await Promise.all(this.nodes.map(({ server }) => server.stop()));
    for (const node of this.nodes) this.#heed(node.server);
    for (const { link } of this.nodes) await link[Symbol.asyncDispose]();
    return codes;
  }

  async #disturbed(node: ClusterNode, work: () => Promise<void>): Promise<void> {
    node.isDisturbed = true;
    try {
      await work();
    } finally {
      node.isDisturbed = false;
    }
  }

  async #restart(node: ClusterNode): Promise<void> {
    node.isUp = false;
    this.#heed(node.server);
    if (this.#isOver) return;
    node.server = this.#spawn(node.name, node.link);
    await this.#isReady(node);
  }

  #spawn(name: string, link: NetworkLink): ServerProcess {
    const { environment, leaseS, skewS } = this.#options;
    const settings = {
      NODE_NAME: name,
      NODE_LEASE: String(leaseS),
      DATABASE_URL: link.url,
      DATA_DIR: this.#dataDirs.get(name) ?? "",
      FUNCTIONS_DIR: join(import.meta.dir, "../functions"),
      SLOTS: "4",
      SURFACES: "api,andera",
      ...environment,
    };
    return spawnServer({ ...settings, ...skewed(skewS?.(name) ?? 0) });
  }

  /** A start that fails, since the database is away or a poison came at once, is made anew, as a service manager does. */
  async #isReady(node: ClusterNode): Promise<void> {
    for (let starts = 1; !(await node.server.ready().catch(() => null)); starts++) {
      if (starts === startsMax) throw new Error(`${node.name} does not start: ${node.server.said().join("\n")}`);
      this.failedStarts++;
      this.#heed(node.server);
      await Bun.sleep(restartAfterMs);
      node.server = this.#spawn(node.name, node.link);
    }
    node.isUp = true;
  }

  #heed(server: ServerProcess): void {
    for (const line of server.said()) {
      if (!line.includes('"level":"warn"') && !line.includes('"level":"error"')) continue;
      const { level, event, fault, error } = JSON.parse(line);
      const why = fault ?? error;
      const said = `${level}: ${event}${why === undefined ? "" : ` (${String(why.message ?? why).slice(0, 120)})`}`;
      this.complaints.set(said, (this.complaints.get(said) ?? 0) + 1);
    }
  }
}

/** Any that is up; any at all while none is. */
export function pickNode(cluster: ClusterNodes, random: Random): ClusterNode {
  return random.pick(cluster.up.length > 0 ? cluster.up : cluster.nodes);
}

/** What sets a process's clock off, as the command `faketime` does, without a process of its own in between. */
function skewed(seconds: number): Record<string, string> {
  if (seconds === 0) return {};
  return {
    LD_PRELOAD: fakeTimeLibrary,
    FAKETIME: `${seconds > 0 ? "+" : ""}${seconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // There is no such process any more.
    return false;
  }
}

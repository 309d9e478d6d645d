import { childCommand } from "../../carried.ts";
import type { Log } from "../../log.ts";

/** One long-running helper of the worker's functions, such as a browser, as balancers see it. */
export type ServiceState = { name: string; status: string; state: "up" | "down" };

/** Tags and services: user code beside the functions, in a process of its own. */
export type Sidecar = {
  /** All tags merged, evaluated now. */
  tags(): Promise<Record<string, unknown>>;
  /** The services as of the last check, which is made every second. */
  services(): Promise<ServiceState[]>;
  /** False while a service is down: no task may start then. */
  allUp(): boolean;
  stop(): Promise<void>;
};

type Reply = { id: number; tags?: Record<string, unknown>; services?: ServiceState[]; problem?: string };

const answerTimeoutMs = 2_000;
const stopTimeoutMs = 5_000;
const checkEveryMs = 1_000;
const restartDelayMs = 1_000;

export type SidecarOptions = { tagsDir: string; servicesDir: string; environment: Record<string, string>; log: Log };

/** Starts the process when there is anything to run in it; without tags and services it costs nothing. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const files = [...(await scripts(options.tagsDir)), ...(await scripts(options.servicesDir))];
  if (files.length === 0) return noSidecar;
  return new SidecarProcess(options);
}

const noSidecar: Sidecar = {
  tags: async () => ({}),
  services: async () => [],
  allUp: () => true,
  stop: async () => undefined,
};

class SidecarProcess implements Sidecar {
  readonly #options: SidecarOptions;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #child: Bun.Subprocess;
  #nextId = 1;
  #services: ServiceState[] = [];
  #stopped = false;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(options: SidecarOptions) {
    this.#options = options;
    this.#child = this.#spawn();
    this.#timer = setInterval(() => void this.#check(), checkEveryMs);
  }

  async tags(): Promise<Record<string, unknown>> {
    return (await this.#ask("tags"))?.tags ?? {};
  }

  async services(): Promise<ServiceState[]> {
    if (this.#services.length === 0) await this.#check();
    return this.#services;
  }

  allUp(): boolean {
    return this.#services.every((service) => service.state === "up");
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await Promise.race([this.#ask("stop"), Bun.sleep(stopTimeoutMs)]);
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  #spawn(): Bun.Subprocess {
    const { tagsDir, servicesDir, environment, log } = this.#options;
    // The working directory is the server's: its .env may hold the server's secrets, and its bunfig.toml is nobody's.
    const start = childCommand("sidecar", { flags: ["--no-env-file", "--config=/dev/null"] });
    const child = Bun.spawn([...start.command, tagsDir, servicesDir], {
      env: { ...environment, ...start.environment },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      ipc: (message: Reply) => this.#hear(message),
      onExit: (_child, code) => {
        for (const answer of this.#waiting.values()) answer({ id: 0 });
        this.#waiting.clear();
        if (this.#stopped) return;
        log.warn("the process of tags and services ended and is started again", { code });
        setTimeout(() => {
          if (!this.#stopped) this.#child = this.#spawn();
        }, restartDelayMs);
      },
    });
    return child;
  }

  #hear(message: Reply): void {
    if (typeof message.problem === "string")
      this.#options.log.warn("[SERVICE] problem", { problem: message.problem.slice(0, 500) });
    this.#waiting.get(message.id)?.(message);
    this.#waiting.delete(message.id);
  }

  async #check(): Promise<void> {
    const reply = await this.#ask("services");
    if (Array.isArray(reply?.services)) this.#services = reply.services;
    else this.#services = this.#services.map((service) => ({ ...service, state: "down" }));
  }

  async #ask(what: "tags" | "services" | "stop"): Promise<Reply | null> {
    const id = this.#nextId++;
    const answered = new Promise<Reply>((resolve) => this.#waiting.set(id, resolve));
    try {
      this.#child.send({ id, what });
    } catch {
      // The process is gone; its exit starts another.
      this.#waiting.delete(id);
      return null;
    }
    const reply = await Promise.race([answered, Bun.sleep(answerTimeoutMs).then(() => null)]);
    this.#waiting.delete(id);
    return reply;
  }
}

async function scripts(directory: string): Promise<string[]> {
  const { readdir } = await import("node:fs/promises");
  const names = await readdir(directory).catch(() => [] as string[]);
  return names.filter((name) => /^[^._].*\.(ts|js)$/.test(name) && !name.endsWith(".d.ts"));
}

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export type ContainerOptions = {
  environment?: Record<string, string>;
  workdir?: string;
  user?: string;
  network?: "host" | "none";
  /** Directories of this machine, as `from:to`. */
  volumes?: string[];
  securityOptions?: string[];
  /** With this machine's own way to the package registries. */
  own?: boolean;
};

/** Podman on plain directories in place of images, with storage of its own under `directory`. */
export class Podman {
  readonly #base: string[];

  constructor(directory: string) {
    const runtime = ["/usr/bin/crun", "/usr/sbin/runc", "/usr/bin/runc"].find((path) => existsSync(path));
    this.#base = [
      ...["podman", ...(runtime === undefined ? [] : ["--runtime", runtime])],
      ...["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"],
      ...["--root", join(directory, "podman"), "--runroot", join(directory, "podman-run")],
      ...["--tmpdir", join(directory, "podman-tmp")],
    ];
  }

  /** Runs a command to its end; resolves with its output. Throws `Error` with what it said when it fails. */
  async run(root: string, command: string[], options: ContainerOptions): Promise<string> {
    return this.call(["run", "--rm", ...argumentsOf(options), "--rootfs", root, ...command]);
  }

  /** Starts a container of that name in the background. */
  async start(name: string, root: string, command: string[], options: ContainerOptions): Promise<void> {
    await this.call([
      "run",
      "--detach",
      "--log-driver",
      "k8s-file",
      "--name",
      name,
      ...argumentsOf(options),
      "--rootfs",
      root,
      ...command,
    ]);
  }

  /** What a container has written so far. */
  async logs(name: string): Promise<string> {
    const { out, err } = await this.#call(["logs", name]);
    return `${out}\n${err}`.trim();
  }

  /** One of Podman's own commands; resolves with its output. Throws `Error` with what it said when it fails. */
  async call(words: string[]): Promise<string> {
    return (await this.#call(words)).out.trim();
  }

  async #call(words: string[]): Promise<{ out: string; err: string }> {
    const child = Bun.spawn([...this.#base, ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`podman ${words[0]} (exit ${code}): ${`${out}\n${err}`.trim().slice(-4_000)}`);
    return { out, err };
  }
}

/** Limits are named, since a container may not ask for more than this machine has. */
function argumentsOf(options: ContainerOptions): string[] {
  const own = options.own ? ownWay() : { environment: {}, volumes: [] };
  const environment = { ...options.environment, ...own.environment };
  const volumes = [...(options.volumes ?? []), ...own.volumes];
  return [
    ...["--ulimit", "nofile=8192:8192", "--ulimit", "nproc=4096:4096", "--network", options.network ?? "none"],
    ...Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...volumes.flatMap((volume) => ["--volume", volume]),
    ...(options.securityOptions ?? []).flatMap((option) => ["--security-opt", option]),
    ...(options.workdir === undefined ? [] : ["--workdir", options.workdir]),
    ...(options.user === undefined ? [] : ["--user", options.user]),
  ];
}

const ownNames = /^(?:https?_proxy|no_proxy|npm_config_registry|bun_config_\w+|node_extra_ca_certs|ssl_cert_file)$/i;

/** Files that are named move out of the way, since packages bring files of the same names. */
function ownWay(): { environment: Record<string, string>; volumes: string[] } {
  const environment: Record<string, string> = {};
  const volumes: string[] = [];
  for (const [name, value = ""] of Object.entries(process.env)) {
    if (!ownNames.test(name)) continue;
    const isFile = value.startsWith("/") && existsSync(value);
    environment[name] = isFile ? `/run/own-${name}` : value;
    if (isFile) volumes.push(`${value}:/run/own-${name}:ro`);
  }
  const registry = join(homedir(), ".npmrc");
  if (existsSync(registry)) volumes.push(`${registry}:/root/.npmrc:ro`);
  return { environment, volumes };
}

import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { copyOf, type ImageConfig, configOf, readDockerfile, type Stage, stagesUpTo } from "./dockerfile.ts";
import type { Podman } from "./podman.ts";

const repository = resolve(import.meta.dir, "..");
/** What the published slim images leave out of Debian. */
const leftOut = ["doc", "man", "info", "locale", "groff", "lintian", "linda"].map((name) => `/usr/share/${name}`);

export type ImageRoot = { directory: string; config: ImageConfig };

/**
 * Does what the Dockerfile says, without an image engine: every stage is a directory, every RUN a container on it. Base images are made
 * from Debian's packages, as the published ones are, with this machine's Bun where one is asked for.
 */
export class ImageRoots {
  readonly #stages: Stage[];
  readonly #built = new Map<string, string>();

  constructor(
    dockerfile: string,
    readonly options: { directory: string; podman: Podman; say: (line: string) => void },
  ) {
    this.#stages = readDockerfile(dockerfile);
  }

  /** The directory of a stage, with everything it is built on and copies from. */
  async build(name: string): Promise<ImageRoot> {
    const chain = stagesUpTo(this.#stages, name);
    for (const [at, stage] of chain.entries()) {
      if (!this.#built.has(stage.name)) await this.#buildStage(stage, chain.slice(0, at + 1));
    }
    return { directory: this.#of(name), config: configOf(chain) };
  }

  #of(name: string): string {
    const directory = this.#built.get(name);
    if (directory === undefined) throw new Error(`${name} was not built`);
    return directory;
  }

  async #buildStage(stage: Stage, chain: Stage[]): Promise<void> {
    const root = join(this.options.directory, `stage-${stage.name}`);
    const from = this.#built.get(stage.from) ?? (await this.#base(stage.from));
    rmSync(root, { recursive: true, force: true });
    await run(["cp", "--archive", "--reflink=auto", from, root]);
    for (const [at, { name, rest }] of stage.instructions.entries()) {
      const config = configOf([...chain.slice(0, -1), { ...stage, instructions: stage.instructions.slice(0, at) }]);
      if (name === "RUN") await this.#run(root, rest, config);
      if (name === "COPY") await this.#copy(root, rest, config);
      if (name === "WORKDIR") mkdirSync(join(root, rest), { recursive: true });
    }
    this.#built.set(stage.name, root);
  }

  async #run(root: string, command: string, { environment, workdir, user }: ImageConfig): Promise<void> {
    this.options.say(`RUN ${command.slice(0, 100)}`);
    const { podman } = this.options;
    await podman.run(root, ["sh", "-c", command], { environment, workdir, user, network: "host", own: true });
  }

  async #copy(root: string, rest: string, { workdir }: ImageConfig): Promise<void> {
    this.options.say(`COPY ${rest}`);
    const { from, sources, target } = copyOf(rest);
    if (from !== null) await this.build(from);
    const into = join(root, resolve(workdir, target));
    for (const source of sources) {
      const path = from === null ? join(repository, source) : join(this.#of(from), source);
      const isInside = target.endsWith("/") || sources.length > 1;
      const to = isInside ? join(into, source) : into;
      mkdirSync(dirname(to), { recursive: true });
      cpSync(path, to, { recursive: true });
    }
  }

  async #base(image: string): Promise<string> {
    const [, version] = /^oven\/bun:([\d.]+)-slim$/.exec(image) ?? [];
    if (version !== undefined) return this.#bunBase(version);
    const [, suite] = /^debian:(\w+)-slim$/.exec(image) ?? [];
    if (suite === undefined) throw new Error(`there is no recipe for the base image ${image}`);
    const root = join(this.options.directory, `base-${suite}`);
    if (existsSync(join(root, "etc/debian_version"))) return root;
    this.options.say(`debootstrap ${suite}`);
    await run(["debootstrap", "--variant=minbase", suite, root, ...(await mirror())]);
    const rules = leftOut.map((path) => `path-exclude ${path}/*`);
    writeFileSync(join(root, "etc/dpkg/dpkg.cfg.d/slim"), `${rules.join("\n")}\n`);
    for (const path of [...leftOut, "/var/cache/apt", "/var/lib/apt/lists"]) {
      rmSync(join(root, path), { recursive: true, force: true });
    }
    mkdirSync(join(root, "var/cache/apt/archives/partial"), { recursive: true });
    return root;
  }

  async #bunBase(version: string): Promise<string> {
    if (version !== Bun.version)
      throw new Error(`the Dockerfile builds with Bun ${version}, and this is ${Bun.version}`);
    const root = join(this.options.directory, "base-bun");
    rmSync(root, { recursive: true, force: true });
    await run(["cp", "--archive", "--reflink=auto", await this.#base("debian:bookworm-slim"), root]);
    cpSync(process.execPath, join(root, "usr/local/bin/bun"));
    return root;
  }
}

/** Bytes of a directory in megabytes, as an image's layers would hold them. */
export async function sizeMb(directory: string): Promise<number> {
  const said = await run(["du", "--summarize", "--block-size=1000000", "--one-file-system", directory]);
  return Number(said.split("\t")[0]);
}

/** Where this machine gets Debian's packages from; empty for the usual place. */
async function mirror(): Promise<string[]> {
  const uris = await run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
  const first = uris.split("\n").find((uri) => uri !== "" && !uri.includes("security"));
  return first === undefined ? [] : [first];
}

async function run(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${err.trim() || out.trim()}`);
  return out;
}

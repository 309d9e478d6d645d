/** One instruction: its words as written, with continued lines joined. */
export type Instruction = { name: string; rest: string };

/** A stage of a Dockerfile: what it begins from, and what it does. */
export type Stage = { name: string; from: string; instructions: Instruction[] };

/** What the instructions of a stage, and of those it is built on, leave for the container that is started from it. */
export type ImageConfig = {
  environment: Record<string, string>;
  workdir: string;
  user: string;
  entrypoint: string[];
  command: string[];
  ports: number[];
};

/** Reads the stages in their order. Knows what our Dockerfile is written in, no more: throws `Error` for the rest. */
export function readDockerfile(text: string): Stage[] {
  const stages: Stage[] = [];
  for (const { name, rest } of instructionsIn(text)) {
    if (name !== "FROM") {
      const stage = stages.at(-1);
      if (stage === undefined) throw new Error(`${name} stands before the first FROM`);
      stage.instructions.push({ name, rest });
      continue;
    }
    const found = /^(\S+)(?: +AS +(\S+))?$/i.exec(rest);
    if (found?.[1] === undefined) throw new Error(`FROM ${rest} cannot be read`);
    stages.push({ from: found[1], name: found[2] ?? String(stages.length), instructions: [] });
  }
  return stages;
}

/** The stage of that name with those it is built on, base first. Throws `Error` when there is none. */
export function stagesUpTo(stages: readonly Stage[], name: string): Stage[] {
  const stage = stages.find((one) => one.name === name);
  if (stage === undefined) throw new Error(`there is no stage ${name}`);
  const isOurs = stages.some((one) => one.name === stage.from);
  return [...(isOurs ? stagesUpTo(stages, stage.from) : []), stage];
}

/** What a container is started with. */
export function configOf(chain: readonly Stage[]): ImageConfig {
  const config: ImageConfig = { environment: {}, workdir: "/", user: "root", entrypoint: [], command: [], ports: [] };
  for (const instruction of chain.flatMap((stage) => stage.instructions)) apply(config, instruction);
  return config;
}

/** `COPY` taken apart; `from` is the stage it copies from, null for the repository. */
export function copyOf(rest: string): { from: string | null; sources: string[]; target: string } {
  const words = rest.split(/\s+/);
  const flag = words[0]?.startsWith("--from=") ? words.shift() : undefined;
  const target = words.pop();
  if (target === undefined || words.length === 0 || words.some((word) => word.startsWith("--"))) {
    throw new Error(`COPY ${rest} cannot be read`);
  }
  return { from: flag?.slice("--from=".length) ?? null, sources: words, target };
}

function apply(config: ImageConfig, { name, rest }: Instruction): void {
  if (name === "WORKDIR") config.workdir = rest;
  if (name === "USER") config.user = rest;
  if (name === "ENTRYPOINT") config.entrypoint = JSON.parse(rest) as string[];
  if (name === "CMD") config.command = JSON.parse(rest) as string[];
  if (name === "EXPOSE") config.ports.push(...rest.split(/\s+/).map(Number));
  if (name !== "ENV") return;
  for (const [, key = "", value = ""] of rest.matchAll(/(\w+)=(\S+)/g)) config.environment[key] = value;
}

function instructionsIn(text: string): Instruction[] {
  const lines = text.split("\n").filter((line) => !/^\s*(?:#|$)/.test(line));
  const joined = lines.join("\n").replaceAll(/\\\n\s*/g, "");
  return joined.split("\n").map((line) => {
    const found = /^([A-Z]+) +(.*)$/.exec(line.trim());
    if (found?.[1] === undefined || found[2] === undefined) throw new Error(`this cannot be read: ${line}`);
    return { name: found[1], rest: found[2] };
  });
}

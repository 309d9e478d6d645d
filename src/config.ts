import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { type Setting, secret, text, url } from "./setting.ts";
import { settings } from "./settings.ts";
import { flyStorage } from "./settings/fly-storage.ts";

type ValuesOf<S> = Readonly<{ [K in keyof S]: S[K] extends Setting<infer T> ? T : never }>;
export type Config = ValuesOf<typeof settings>;

/** The settings that a file named by `ENV_PATH` may hold. What is in the environment itself wins over it. */
const envFileKeys = [
  "serverUrl",
  "apiKey",
  "deployment",
  "childPortOffset",
  "ecsMetadataUri",
  "healthEndpoint",
  "inferenceEndpoint",
  "startTaskEndpoint",
  "completeTaskEndpoint",
  "saveOutputDataEndpoint",
  "saveDownloadsEndpoint",
  "saveTrajectoryEndpoint",
] as const;

/** What the command line reads, besides what it shares with the service. */
export const cliSettings = {
  url: url({ name: "FAIRLEAD_URL", fallback: "http://127.0.0.1:8080", help: "service that commands talk to" }),
  key: secret({ name: "FAIRLEAD_KEY", help: "key that commands send; empty: the first of `AUTH_KEY`" }),
  noColor: text({ name: "NO_COLOR", help: "anything: no colors" }),
  authKeys: settings.authKeys,
  webhookSecrets: settings.webhookSecrets,
} as const;
export type CliConfig = ValuesOf<typeof cliSettings>;

/** The environment is unusable: every problem, one a line, each with its variable and what to write instead. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly problems: string[]) {
    super(
      `The configuration has ${problems.length} problem${problems.length === 1 ? "" : "s"}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
  }
}

/** Reads the environment once, and the file that `ENV_PATH` names. Relative directories are resolved against the working directory. Throws `ConfigError`. */
export function loadConfig(environment: Record<string, string | undefined> = process.env): Config {
  const { values: config, problems } = readSettings(
    settings,
    withEnvFile({ ...environment, ...flyStorage(environment) }),
  );
  problems.push(...contradictions(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze({
    ...config,
    dataDir: resolve(config.dataDir),
    functionsDir: resolve(config.functionsDir),
    nodeName:
      config.nodeName ||
      environment["FLY_MACHINE_ID"] ||
      `${hostname()}:${config.port === 0 ? process.pid : config.port}`,
    region: config.region || environment["FLY_REGION"] || "",
  });
}

/** What commands that talk to a service read of the environment. Throws `ConfigError`. */
export function loadCliConfig(environment: Record<string, string | undefined> = process.env): CliConfig {
  const { values, problems } = readSettings(cliSettings, environment);
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(values);
}

/** A copy with some values replaced. */
export function withConfig(config: Config, changes: Partial<Config>): Config {
  return Object.freeze({ ...config, ...changes });
}

/** True when only this machine can reach the listener. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** True when only this machine can reach the service, at either of its doors. */
export function isLocal(config: Pick<Config, "host" | "internalHost" | "internalPort">): boolean {
  return isLoopback(config.host) && (config.internalPort === null || isLoopback(config.internalHost));
}

/** The environment on top of what the file has to say about the control plane. Throws `ConfigError`. */
function withEnvFile(environment: Record<string, string | undefined>): Record<string, string | undefined> {
  const path = environment[settings.envPath.name] ?? "";
  if (path === "") return environment;
  const file = readEnvFile(path);
  const names = envFileKeys.map((key) => settings[key].name);
  const held = Object.fromEntries(names.map((name) => [name, file[name]]));
  // The name that later versions of the original prefer.
  held[settings.apiKey.name] ??= file[`OPTEXITY_${settings.apiKey.name}`];
  const given = Object.entries(environment).filter(([, value]) => value !== undefined && value !== "");
  return { ...held, ...Object.fromEntries(given) };
}

function readEnvFile(path: string): Record<string, string | undefined> {
  try {
    return parseEnv(readFileSync(path, "utf8"));
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : "it is no text";
    throw new ConfigError([
      `ENV_PATH names ${path}, which cannot be read (${why}): write a file of NAME=value lines there`,
    ]);
  }
}

function readSettings<S extends Readonly<Record<string, Setting<unknown>>>>(
  from: S,
  environment: Record<string, string | undefined>,
): { values: ValuesOf<S>; problems: string[] } {
  const problems: string[] = [];
  const values = Object.entries<Setting<unknown>>(from).map(([key, setting]) => {
    const given = environment[setting.name];
    const value = given === undefined || given === "" ? setting.fallback : given.trim();
    try {
      return [key, setting.parse(value)] as const;
    } catch (fault) {
      const shown = setting.secret ? "" : ` (it is "${value}")`;
      problems.push(`${setting.name} ${fault instanceof Error ? fault.message : String(fault)}${shown}`);
      return [key, undefined] as const;
    }
  });
  return { values: Object.fromEntries(values) as ValuesOf<S>, problems };
}

/** Settings that do not go together. Those that could not be read are left out: they have their own line. */
function contradictions(config: Partial<Config>): string[] {
  const problems: string[] = [];
  if (config.host !== undefined && !isLoopback(config.host) && config.authKeys?.length === 0) {
    problems.push(`HOST ${config.host} can be reached from other machines: set AUTH_KEY, or use HOST=127.0.0.1`);
  }
  problems.push(...doorContradictions(config));
  if (config.databaseUrl === "" && config.queueBackend !== undefined && config.queueBackend !== "postgres")
    problems.push(`QUEUE_BACKEND is ${config.queueBackend}, which does not come embedded: set DATABASE_URL to one`);
  if (config.s3Bucket && config.s3AccessKeyId === "")
    problems.push("S3_BUCKET is set without S3_ACCESS_KEY_ID: set it, and S3_SECRET_ACCESS_KEY");
  return problems;
}

/** The second door: which protocols it has, where it is, and who may come. */
function doorContradictions(config: Partial<Config>): string[] {
  const { internalPort, internalHost = "", internalSurfaces = [], surfaces = [], port } = config;
  if (internalPort === undefined || config.internalSurfaces === undefined || config.surfaces === undefined) return [];
  const [first] = internalSurfaces;
  if (internalPort === null) {
    return first === undefined
      ? []
      : [`INTERNAL_SURFACES names ${first}, but there is no port for it: set INTERNAL_PORT, or leave it to SURFACES`];
  }
  const problems: string[] = [];
  const unknown = internalSurfaces.filter((name) => !surfaces.includes(name));
  if (first === undefined) {
    problems.push("INTERNAL_PORT has nothing to serve: name protocols in INTERNAL_SURFACES, or leave it empty");
  } else if (unknown.length > 0) {
    problems.push(`INTERNAL_SURFACES names ${unknown.join(", ")}, which SURFACES leaves out: add it there`);
  } else if (surfaces.every((name) => internalSurfaces.includes(name))) {
    problems.push(
      "INTERNAL_SURFACES leaves nothing for PORT: set HOST to the internal address instead, or leave one out",
    );
  }
  if (internalPort !== 0 && internalPort === port) {
    problems.push(`INTERNAL_PORT is ${port} as PORT is: choose another`);
  }
  if (!isLoopback(internalHost) && config.authKeys?.length === 0) {
    problems.push(
      `INTERNAL_HOST ${internalHost} can be reached from other machines: set AUTH_KEY, or use INTERNAL_HOST=127.0.0.1`,
    );
  }
  return problems;
}

/** Everything the process was given, for the work that inherits it less the secrets. */
export function wholeEnvironment(): Record<string, string | undefined> {
  return { ...process.env };
}

/** The table of settings as the README shows it, made from the settings themselves. */
export function configTable(): string {
  const rows = Object.values<Setting<unknown>>(settings).map(
    ({ name, fallback, help }) => `| \`${name}\` | ${fallback === "" ? "" : `\`${fallback}\``} | ${help} |`,
  );
  return ["| variable | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}

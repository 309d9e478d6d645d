import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Setting } from "./setting.ts";
import { settings } from "./settings.ts";

type Settings = typeof settings;
export type Config = Readonly<{ [K in keyof Settings]: Settings[K] extends Setting<infer T> ? T : never }>;

/** The environment is unusable: every problem, one a line, each with its variable and what to write instead. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly problems: string[]) {
    super(
      `The configuration has ${problems.length} problem${problems.length === 1 ? "" : "s"}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
  }
}

/** Reads the environment once. Relative directories are resolved against the working directory. Throws `ConfigError`. */
export function loadConfig(environment: Record<string, string | undefined> = process.env): Config {
  const problems: string[] = [];
  const values = Object.entries<Setting<unknown>>(settings).map(([key, setting]) => {
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
  const config = Object.fromEntries(values) as unknown as Config;
  if (problems.length === 0) problems.push(...contradictions(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze({
    ...config,
    dataDir: resolve(config.dataDir),
    functionsDir: resolve(config.functionsDir),
    nodeName: config.nodeName || environment["FLY_MACHINE_ID"] || `${hostname()}:${config.port}`,
    region: config.region || environment["FLY_REGION"] || "",
  });
}

/** A copy with some values replaced. */
export function withConfig(config: Config, changes: Partial<Config>): Config {
  return Object.freeze({ ...config, ...changes });
}

/** True when only this machine can reach the listener. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

function contradictions(config: Config): string[] {
  const problems: string[] = [];
  if (!isLoopback(config.host) && config.authKeys.length === 0) {
    problems.push(`HOST ${config.host} can be reached from other machines: set AUTH_KEY, or use HOST=127.0.0.1`);
  }
  if (config.s3Bucket !== "" && config.s3AccessKeyId === "")
    problems.push("S3_BUCKET is set without S3_ACCESS_KEY_ID: set it, and S3_SECRET_ACCESS_KEY");
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

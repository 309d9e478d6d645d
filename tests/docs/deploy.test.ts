import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { configOf, copyOf, readDockerfile, stagesUpTo } from "../../scripts/dockerfile.ts";
import { describeApi } from "../../src/app-openapi.ts";
import { commands } from "../../src/cli/commands.ts";
import { type Config, loadConfig } from "../../src/config.ts";
import { settings } from "../../src/settings.ts";

type Check = { path: string; port?: number; processes?: string[] };
type Fly = {
  app: string;
  kill_signal: string;
  kill_timeout: number;
  build: { dockerfile: string };
  deploy: { release_command: string };
  processes: Record<string, string>;
  env: Record<string, string>;
  http_service: { processes: string[]; internal_port: number; min_machines_running: number; checks: Check[] };
  checks: Record<string, Check>;
  vm: { processes: string[] }[];
};
type Service = {
  command?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, unknown>;
  ports?: string[];
  stop_grace_period?: string;
  healthcheck?: { test: string[] };
  build?: string;
};

const root = resolve(import.meta.dir, "../..");
const read = (name: string) => Bun.file(join(root, name)).text();
const names = new Set(Object.values(settings).map(({ name }) => name));
/** After the work has drained: requests under way, and whatever is closed one after the other. */
const closingS = 30;

describe("the Dockerfile", async () => {
  const stages = readDockerfile(await read("Dockerfile"));
  const last = stages.at(-1)?.name ?? "";
  const config = configOf(stagesUpTo(stages, last));

  test("copies what is there, and what .dockerignore lets through", async () => {
    const sources = stages.flatMap(({ instructions }) =>
      instructions.filter(({ name }) => name === "COPY").map(({ rest }) => copyOf(rest)),
    );
    const own = sources.filter(({ from }) => from === null).flatMap((copy) => copy.sources);
    expect(own.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const ignored = (await read(".dockerignore")).trim().split("\n");
    expect(ignored[0]).toBe("*");
    expect(own.filter((path) => !ignored.includes(`!${path}`))).toEqual([]);
    const unknown = sources.filter(({ from }) => from !== null && !stages.some((stage) => stage.name === from));
    expect(unknown).toEqual([]);
  });

  test("builds with the Bun that everything else is built with", async () => {
    const [, version] = /^oven\/bun:([\d.]+)-slim$/.exec(stages[0]?.from ?? "") ?? [];
    expect(await read(".ci/run")).toContain(`bun_version=${version}\n`);
    expect(manifest.devDependencies["bun-types"]).toBe(version ?? "");
    expect(manifest.engines.bun).toBe(`>=${version}`);
  });

  test("starts a command that exists, as an ordinary user below an init, with settings that exist", () => {
    expect(Object.keys(config.environment).filter((name) => !names.has(name))).toEqual([]);
    expect(config.ports).toEqual([Number(settings.port.fallback)]);
    expect(config.environment[settings.port.name]).toBe(settings.port.fallback);
    expect(config.entrypoint).toEqual(["tini", "--", "fairlead"]);
    expect(wrongCommands([config.command.join(" ")])).toEqual([]);
    expect(config.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  test("leaves Chromium to a stage of its own, which is not the last", () => {
    const installs = (name: string) => /install .*\bchromium\b/.test(JSON.stringify(stagesUpTo(stages, name)));
    expect(installs("chromium")).toBe(true);
    expect(installs(last)).toBe(false);
    expect(configOf(stagesUpTo(stages, "chromium")).user).toBe(config.user);
  });
});

describe("fly.toml", async () => {
  const fly = Bun.TOML.parse(await read("fly.toml")) as unknown as Fly;
  const image = configOf(stagesUpTo(readDockerfile(await read("Dockerfile")), "fairlead")).environment;

  test("sets what can be set, without a contradiction", () => {
    expect(Object.keys(fly.env).filter((name) => !names.has(name))).toEqual([]);
    expect(Object.values(fly.env).filter((value) => typeof value !== "string")).toEqual([]);
    expect(configOnFly().publicUrl).toBe(`https://${fly.app}.fly.dev`);
  });

  test("names commands and groups that exist", () => {
    expect(wrongCommands([...Object.values(fly.processes), fly.deploy.release_command])).toEqual([]);
    const groups = [fly.http_service, ...Object.values(fly.checks), ...fly.vm].flatMap((part) => part.processes ?? []);
    expect(groups.filter((group) => !(group in fly.processes))).toEqual([]);
    expect(existsSync(join(root, fly.build.dockerfile))).toBe(true);
  });

  test("gives a machine that is stopped the time to drain, and no more than Fly allows", () => {
    const { drainGraceS, drainNoticeS } = configOnFly();
    expect(fly.kill_signal).toBe("SIGTERM");
    expect(fly.kill_timeout).toBeGreaterThanOrEqual(Math.max(drainGraceS, drainNoticeS) + closingS);
    expect(fly.kill_timeout).toBeGreaterThanOrEqual(Number(settings.drainGraceS.fallback) + closingS);
    expect(fly.kill_timeout).toBeLessThanOrEqual(300);
  });

  test("sends requests where the service listens, and checks pages that it has", async () => {
    const config = configOnFly();
    expect(fly.http_service.internal_port).toBe(config.port);
    const { paths } = (await describeApi(config)) as { paths: Record<string, unknown> };
    const checks = [...fly.http_service.checks, ...Object.values(fly.checks)];
    expect(checks.map(({ path }) => path).filter((path) => !(path in paths))).toEqual([]);
    const ports = Object.values(fly.checks).map(({ processes = [], port }) => [processes.join(), port]);
    expect(ports).toEqual([
      ["app", config.port],
      ["work", config.watchPort ?? undefined],
    ]);
  });

  test("keeps protocols without keys in the private network", () => {
    const { internalSurfaces, internalHost, host, surfaces } = configOnFly();
    expect(internalSurfaces).toEqual(["orchestrator", "infernet", "optexity"]);
    expect(internalHost).toBe("fly-local-6pn");
    expect(host).toBe("0.0.0.0");
    expect(surfaces.length).toBeGreaterThan(internalSurfaces.length);
  });

  function configOnFly(): Config {
    const machine = { FLY_APP_NAME: fly.app, FLY_REGION: "ams", FLY_MACHINE_ID: "148e21ea7d9489" };
    const secrets = { AUTH_KEY: "a-key", DATABASE_URL: "postgres://user@localhost/fairlead" };
    return loadConfig({ ...image, ...fly.env, ...machine, ...secrets });
  }
});

describe("docker-compose.yml", async () => {
  const { services } = Bun.YAML.parse(await read("docker-compose.yml")) as { services: Record<string, Service> };
  const ours = Object.values(services).filter((service) => service.build !== undefined);

  test("starts a migration and nodes, with commands and settings that exist", () => {
    expect(ours.map(({ command = [] }) => command[0])).toEqual(["migrate", "serve"]);
    expect(wrongCommands(ours.map(({ command = [] }) => command.join(" ")))).toEqual([]);
    const unknown = ours.flatMap(({ environment = {} }) => Object.keys(environment)).filter((name) => !names.has(name));
    expect(unknown).toEqual([]);
  });

  test("gives settings that go together, with a bucket and without", () => {
    const bucket = { S3_BUCKET: "fairlead", S3_ACCESS_KEY_ID: "id", S3_SECRET_ACCESS_KEY: "key" };
    for (const more of [{}, bucket]) {
      const given = { AUTH_KEY: "a-key", ...more } as Record<string, string>;
      for (const { environment = {} } of ours) {
        const values = Object.entries(environment).map(([name, value]) => [name, filled(value, given)]);
        expect(loadConfig({ HOST: "0.0.0.0", ...Object.fromEntries(values) }).s3Bucket).toBe(given["S3_BUCKET"] ?? "");
      }
    }
  });

  test("waits for services that exist, publishes the port, and lets a node drain", () => {
    const awaited = Object.values(services).flatMap((service) => Object.keys(service.depends_on ?? {}));
    expect(awaited.filter((name) => !(name in services))).toEqual([]);
    const { node } = services;
    expect(node?.ports?.map((port) => port.split(":").at(-1))).toEqual([settings.port.fallback]);
    expect(node?.healthcheck?.test.join(" ")).toContain("/readyz");
    const graceS = Number(/^(\d+)s$/.exec(node?.stop_grace_period ?? "")?.[1]);
    expect(graceS).toBeGreaterThanOrEqual(Number(node?.environment?.["DRAIN_GRACE"]) + closingS);
  });
});

/** Lines whose command, or one of its flags, is none of the program's. */
function wrongCommands(lines: string[]): string[] {
  return lines.filter((line) => {
    const [verb, ...words] = line.split(" ");
    const command = commands.find(({ name }) => name === verb);
    return command === undefined || words.some((word) => !(word.replace(/^--/, "") in command.flags));
  });
}

/** As compose does it: `${NAME:-else}` and `${NAME:?message}`. */
function filled(value: string, given: Record<string, string>): string {
  return value.replaceAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind: string, text: string) => {
    const found = given[name] || (kind === "-" ? text : undefined);
    if (found === undefined) throw new Error(`${name} is not given`);
    return found;
  });
}

#!/usr/bin/env bun
import manifest from "../package.json" with { type: "json" };
import { runCli } from "./cli/cli.ts";
import type { App } from "./app.ts";
import { ConfigError, loadConfig, wholeEnvironment } from "./config.ts";
import { EngineError } from "./errors.ts";
import { createLog, type Log } from "./log.ts";

/** What each command needs of the program is loaded when it is called: most only talk to a service. */
const tools = {
  version: manifest.version,
  onInterrupt,
  serve,
  migrate: async () => (await import("./app-migrate.ts")).migrate(loadConfig()),
  migrationPlan: async () => (await import("./app-migrate.ts")).migrationPlan(loadConfig()),
  doctor: async () => (await import("./app-doctor.ts")).examine(),
  openapi: async () => (await import("./app-openapi.ts")).describeApi(loadConfig()),
  devToken: async (claims: { sub: string; lifetimeS: number }) => {
    const { signDevToken } = await import("./surfaces/opteryx/dev-issuer.ts");
    const { dataDir, jwtAudience } = loadConfig();
    return signDevToken(dataDir, { ...claims, audience: jwtAudience });
  },
};

/** Classes of faults that say all there is to say; named, because a command that needs none of them loads none of them. */
const toldInWords = new Set(["EmbeddedError", "ListenError"]);

let isServing = false;
const code = await runCli(Bun.argv.slice(2), tools).catch(complain);
// Connections that are kept for later would hold up the end of a command.
if (!isServing) process.exit(code);

async function serve(mode: { demo: boolean; dev: boolean; http: boolean; work: boolean }): Promise<void> {
  const { startApp } = await import("./app.ts");
  const config = loadConfig();
  const log = createLog({ level: config.logLevel, maxLines: config.logLinesMax });
  const starting = startApp({ config, log, environment: wholeEnvironment(), ...mode });
  let stopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      // Who asks twice does not want to wait.
      if (stopping) process.exit(1);
      stopping = true;
      // A start that is broken off in the middle would leave its Postgres behind. One that fails is told by whoever awaits it.
      void starting.then((app) => end(app, log)).catch(() => undefined);
    });
  }
  await starting.catch(async (fault: unknown) => {
    const { startFault } = await import("./app-database.ts");
    throw startFault(fault);
  });
  isServing = true;
}

async function end(app: App, log: Log): Promise<void> {
  try {
    await app.stop();
    process.exit(0);
  } catch (fault) {
    log.error("the shutdown failed", { fault });
    process.exit(1);
  }
}

function onInterrupt(listener: () => void): () => void {
  process.on("SIGINT", listener);
  return () => void process.off("SIGINT", listener);
}

function complain(fault: unknown): never {
  const isExpected =
    fault instanceof ConfigError ||
    fault instanceof EngineError ||
    (fault instanceof Error && toldInWords.has(fault.name));
  console.error(isExpected ? fault.message : fault);
  process.exit(1);
}

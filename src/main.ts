#!/usr/bin/env bun
import { type App, startApp } from "./app.ts";
import { ConfigError, loadConfig, wholeEnvironment } from "./config.ts";
import { EngineError } from "./errors.ts";
import { ListenError } from "./http/listen-fault.ts";
import { createLog, type Log } from "./log.ts";

const [verb = "serve", ...words] = Bun.argv.slice(2);
await run(verb, words).catch(complain);

async function run(name: string, rest: string[]): Promise<void> {
  if (name === "serve" || name === "work")
    return serve({
      demo: rest.includes("--demo"),
      dev: rest.includes("--dev"),
      http: name === "serve",
      work: !rest.includes("--no-work"),
    });
  const { runCli } = await import("./cli/run.ts");
  process.exitCode = await runCli(name, rest);
}

async function serve(mode: { demo: boolean; dev: boolean; http: boolean; work: boolean }): Promise<void> {
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
  await starting;
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

function complain(fault: unknown): never {
  const isExpected =
    fault instanceof ConfigError ||
    fault instanceof EngineError ||
    fault instanceof ListenError ||
    (fault instanceof Error && fault.name === "EmbeddedError");
  console.error(isExpected ? fault.message : fault);
  process.exit(1);
}

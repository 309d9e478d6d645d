import { afterAll } from "bun:test";
import { settings } from "../src/settings.ts";
import { endFile } from "./support/ending.ts";

/** Facts of the machine that tests may be told of; every other setting of the shell would only change what they see. */
const keptVariables = new Set(["CHROMIUM_PATH", "DOCKER_HOST"]);

for (const { name } of Object.values(settings)) {
  if (!keptVariables.has(name)) delete process.env[name];
}

/** Processes to end and directories to remove take their time beside others. */
const endWithinMs = 60_000;

afterAll(endFile, endWithinMs);

import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { functionEnvironment } from "../../src/runners/function/environment.ts";
import { openFunctions } from "../support/function-trial.ts";

const secrets = {
  AUTH_KEY: "secret",
  LB_AUTH_KEY: "secret",
  DATABASE_URL: "secret",
  PGPASSWORD: "secret",
  API_KEY: "secret",
  WEBHOOK_SECRET: "secret",
  WEBHOOK_HEADERS: "secret",
  S3_ACCESS_KEY_ID: "secret",
  S3_SECRET_ACCESS_KEY: "secret",
  JWT_ISSUER: "secret",
  OTEL_EXPORTER_OTLP_HEADERS: "secret",
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: "secret",
  HOUSE_KEY: "secret",
};
const environment = "export default { handler: () => process.env };";

test("an environment for functions lacks the server's secrets and keeps the rest", () => {
  const given = { ...secrets, PATH: "/bin", OPENAI_API_KEY: "for functions", UNSET: undefined };
  expect(functionEnvironment(given, ["HOUSE_KEY"])).toEqual({ PATH: "/bin", OPENAI_API_KEY: "for functions" });
});

test("a function sees the environment it is given, less the secrets, and nothing else", async () => {
  const given = { ...secrets, PATH: process.env.PATH, FOR_FUNCTIONS: "yes" };
  await using trial = await openFunctions(
    { "environment.ts": environment },
    { environment: given, secretNames: ["HOUSE_KEY"] },
  );
  const { outcome } = await trial.run("environment");
  if (outcome.kind !== "succeeded") throw new Error("it must succeed");
  const seen = outcome.output as Record<string, string>;
  expect(Object.values(seen)).not.toContain("secret");
  expect(seen.FOR_FUNCTIONS).toBe("yes");
});

test("a function does not see what an .env file tells the server", async () => {
  const cwd = await mkdtemp(join(tmpdir(), "cwd-"));
  await Bun.write(join(cwd, ".env"), "AUTH_KEY=secret\nOTHER=secret\n");
  await using trial = await openFunctions(
    {
      "environment.ts": environment,
      "cwd.ts": "export default { handler: () => process.cwd() };",
    },
    { cwd },
  );
  const { outcome } = await trial.run("environment");
  expect(JSON.stringify(outcome)).not.toContain("secret");
  expect((await trial.run("cwd")).outcome).toMatchObject({ output: cwd });
  await rm(cwd, { recursive: true });
});

test("a function can neither send to the server over a channel of the runtime nor read its standard input", async () => {
  await using trial = await openFunctions({
    "channels.ts": `export default {
      handler: async () => ({ send: typeof process.send, input: await Bun.stdin.text() }),
    };`,
  });
  expect((await trial.run("channels")).outcome).toMatchObject({ output: { send: "undefined", input: "" } });
});

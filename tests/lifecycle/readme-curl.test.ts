import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { findChromium } from "../../src/runners/automation/find-chromium.ts";
import { until } from "../support/until.ts";
import { root, scratchDirectory, type ServerProcess, spawnServer } from "./server-process.ts";

setDefaultTimeout(60_000);

/** The commands of the README's section, by the protocol that the comment above them names. */
const commands = new Map(
  readSection("One curl for each protocol")
    .split(/^# /m)
    .slice(1)
    .map((part) => [part.split(":")[0] ?? "", commandsOf(part)]),
);
const directory = scratchDirectory("readme");
const environment = { DATA_DIR: join(directory, "data") };
let server: ServerProcess;

beforeAll(async () => {
  server = await spawnServer(environment).ready();
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("the commands are those of all the protocols", () => {
  expect([...commands.keys()]).toEqual(["andera", "orchestrator", "infernet", "opteryx", "optexity", "our own"]);
});

test("andera's answers with the greeting", async () => {
  const [task = ""] = commands.get("andera") ?? [];
  expect(JSON.parse(await sh(task))).toEqual({ success: true, result: { message: "Hello Ada!" } });
});

test("orchestrator's bring a zip with what the script made", async () => {
  const [files = "", submit = "", retrieve = ""] = commands.get("orchestrator") ?? [];
  await sh(files);
  expect(JSON.parse(await sh(submit))).toMatchObject({ id: 1, status: "Prepared" });
  const zip = await until("the zip is there", async () => {
    await sh(retrieve);
    const bytes = readFileSync(join(directory, "results.zip"));
    return bytes.subarray(0, 2).toString() === "PK" ? unzipSync(bytes) : null;
  });
  expect(new TextDecoder().decode(zip["out.txt"])).toBe("ATOMS\n");
});

test("infernet's run the chain and show every result", async () => {
  const [submit = "", read = ""] = commands.get("infernet") ?? [];
  const { id } = JSON.parse(await sh(submit)) as { id: string };
  type Result = { status: string; intermediate_results?: unknown[] };
  const result = await until("the chain ends", async () => {
    const [found] = JSON.parse(await sh(read.replace("<id>", id))) as Result[];
    return found?.status === "running" ? null : found;
  });
  expect(result).toMatchObject({ status: "success" });
  expect(result.intermediate_results).toHaveLength(1);
});

test("opteryx's start the job that waits", async () => {
  const [hold = "", submit = ""] = commands.get("opteryx") ?? [];
  expect(JSON.parse(await sh(hold))).toMatchObject({ id: "report-1", held: true });
  expect(JSON.parse(await sh(submit))).toEqual({ accepted: true, job: "report-1", jwt_sub: "me" });
  const job = await until("the job ends", async () => {
    const found = (await (await server.call("/api/v1/jobs/report-1")).json()) as { status: string };
    return found.status === "succeeded" ? found : null;
  });
  expect(job).toMatchObject({ surface: "api", result: { message: "Hello Ada!" } });
});

test("optexity's allocates a task", async () => {
  const [inference = ""] = commands.get("optexity") ?? [];
  const answer = JSON.parse(await sh(inference)) as { task_id: string };
  expect(answer).toMatchObject({ success: true, message: "Task has been allocated" } as object);
  // With a browser it fills in the form; without one it says what is missing.
  const job = await until(
    "the task ends",
    async () => {
      const found = (await (await server.call(`/api/v1/jobs/${answer.task_id}`)).json()) as { status: string };
      return ["succeeded", "failed"].includes(found.status) ? found : null;
    },
    { withinMs: 50_000 },
  );
  expect(job).toMatchObject(
    "path" in findChromium("", process.env["PATH"] ?? "")
      ? { status: "succeeded" }
      : { status: "failed", error: { code: "automation_error" } },
  );
});

test("our own wait for the job, and show its history", async () => {
  const [submit = "", events = ""] = commands.get("our own") ?? [];
  const job = JSON.parse(await sh(submit)) as { id: string; status: string; result: unknown };
  expect(job).toMatchObject({ status: "succeeded", result: { counted: 3 } });
  const history = await sh(events.replace("<id>", job.id));
  expect(history).toContain("event: progress");
  expect(history).toContain("event: completed");
});

/** Runs a command of the README as it stands there, but for the port and the place of the program. */
async function sh(command: string): Promise<string> {
  const text = command
    .replaceAll("localhost:8080", new URL(server.url).host)
    .replaceAll("curl ", "curl -sS ")
    .replaceAll("bun src/", `${process.execPath} ${root}/src/`);
  const env = { PATH: process.env["PATH"] ?? "", HOME: directory, ...environment };
  const child = Bun.spawn(["bash", "-c", text], {
    cwd: directory,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [code, out, complaint] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if (code !== 0) throw new Error(`${text}: exit ${code}: ${complaint}`);
  return out;
}

function readSection(title: string): string {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const section = readme.split(`## ${title}\n`)[1] ?? "";
  return /```sh\n([\s\S]*?)```/.exec(section)?.[1] ?? "";
}

/** One a line; a backslash at the end joins the next. */
function commandsOf(part: string): string[] {
  const lines = part.replaceAll("\\\n", " ").split("\n").slice(1);
  return lines.map((line) => line.trim()).filter((line) => line !== "");
}

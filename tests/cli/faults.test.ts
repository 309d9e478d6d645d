import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { answer, answering, events, streaming } from "../client/stream-server.ts";
import { cli, scratch, startCli } from "./cli.ts";

const job = { id: "job", status: "succeeded", error: null, tasks: [], payload: null, tags: [], last_event: 2 };
const missing = answer(404, { detail: "There is no job", code: "not_found" });
const script = { stdin: "true" };

/** A list of files whose contents are these, but for what `change` says of the first. */
function listOf(contents: Record<string, string>, change: Record<string, unknown> = {}) {
  const files = Object.entries(contents).map(([path, text]) => ({
    ...{ path, bytes: text.length, mode: 0o644, media_type: "text/plain", modified_at: "", link: "" },
    sha256: createHash("sha256").update(text).digest("hex"),
  }));
  return { files: files.map((file, at) => (at === 0 ? { ...file, ...change } : file)), skipped: [], bytes: 0 };
}

test("an answer that is lost behind the commit is looked up, and not submitted again", async () => {
  const { url, asked } = await answering((response) => void response.socket?.destroy(), answer(200, job));
  const { code, out } = await cli(["run", "-", "--detach"], { environment: { FAIRLEAD_URL: url }, ...script });
  expect({ code, out }).toEqual({ code: 0, out: "job\n" });
  expect(asked.map(({ path }) => path)).toEqual([
    "/api/v1/jobs",
    expect.stringMatching(/^\/api\/v1\/jobs\/[0-9a-f-]{36}$/),
  ]);
});

test("an answer that is lost before the commit is told", async () => {
  const { url } = await answering((response) => void response.socket?.destroy(), missing);
  const { code, err } = await cli(["run", "-"], { environment: { FAIRLEAD_URL: url }, ...script });
  expect(code).toBe(1);
  expect(err).toContain(`No answer from ${url}`);
});

test("Ctrl-C before the job is submitted ends with 130 and says that nothing was", async () => {
  const arrived = Promise.withResolvers<void>();
  const { url } = await answering(() => arrived.resolve(), missing);
  const command = startCli(["run", "-"], { environment: { FAIRLEAD_URL: url }, ...script });
  await arrived.promise;
  command.interrupt();
  expect(await command.done).toEqual({ code: 130, out: "", err: "\nStopped before the job was submitted.\n" });
});

test("Ctrl-C three times ends at once, though the service hangs", async () => {
  const hangs = Promise.withResolvers<void>();
  const running = { ...job, status: "running" };
  const { url } = await answering(
    answer(202, running),
    (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(events(1, 1));
    },
    answer(200, running),
    () => hangs.resolve(),
  );
  const command = startCli(["run", "-"], { environment: { FAIRLEAD_URL: url }, ...script });
  await command.says("50 %");
  command.interrupt();
  await command.says("Ctrl-C again cancels it");
  command.interrupt();
  await hangs.promise;
  command.interrupt();
  expect((await command.done).code).toBe(130);
});

test("names of files that would leave the directory are refused", async () => {
  for (const path of ["../evil.txt", "/evil.txt", "a/../../evil.txt", "a//b", "a\\..\\b"]) {
    const { url } = await answering(answer(200, listOf({ [path]: "evil" })), answer(200, "evil"));
    const cwd = scratch("faults");
    const { code, err } = await cli(["files", "job", "-o", "out"], { environment: { FAIRLEAD_URL: url }, cwd });
    expect(code).toBe(1);
    expect(err).toContain("cannot be saved here");
    expect(readdirSync(cwd, { recursive: true })).toEqual(["out"]);
  }
});

test("a file that arrives damaged is not kept", async () => {
  const { url } = await answering(answer(200, listOf({ "a.txt": "right" })), answer(200, "wrong"));
  const cwd = scratch("faults");
  const { code, err } = await cli(["files", "job", "-o", "."], { environment: { FAIRLEAD_URL: url }, cwd });
  expect(code).toBe(1);
  expect(err).toContain("a.txt arrived damaged");
  expect(readdirSync(cwd)).toEqual([]);
});

test("a download that breaks off is begun again", async () => {
  const { url, asked } = await answering(
    answer(200, listOf({ "a.txt": "all of it" })),
    (response) => {
      response.writeHead(200, { "content-length": "9" });
      response.write("all ");
      setImmediate(() => response.socket?.destroy());
    },
    answer(200, "all of it"),
  );
  const cwd = scratch("faults");
  expect(await cli(["files", "job", "-o", "."], { environment: { FAIRLEAD_URL: url }, cwd })).toMatchObject({
    code: 0,
  });
  expect(readFileSync(join(cwd, "a.txt"), "utf8")).toBe("all of it");
  expect(asked).toHaveLength(3);
});

test("a file is saved with the right to be executed, and never without that to be read", async () => {
  const { url } = await answering(answer(200, listOf({ tool: "x" }, { mode: 0o111 })), answer(200, "x"));
  const cwd = scratch("faults");
  await cli(["files", "job", "-o", "."], { environment: { FAIRLEAD_URL: url }, cwd });
  const { exitCode, stdout } = Bun.spawnSync(["stat", "-c", "%a", join(cwd, "tool")]);
  expect({ exitCode, mode: stdout.toString().trim() }).toEqual({ exitCode: 0, mode: "711" });
});

test("results that cannot be fetched do not hide the code of the job", async () => {
  const failed = {
    ...{ ...job, status: "failed", error: { code: "exit_nonzero", message: "run.sh exited with code 9" } },
    ...{ payload: { id: 1, files: 1, bytes: 1, cleaned: false } },
    tasks: [{ error: { code: "exit_nonzero", message: "" }, run: { exit_code: 9 } }],
  };
  const { url } = await answering(
    answer(202, { ...job, status: "running" }),
    streaming([events(1, 2, { 2: "completed" })]),
    answer(200, failed),
    answer(404, { detail: "The files are on another node", code: "not_found" }),
  );
  const cwd = scratch("faults");
  const { code, err } = await cli(["run", "-"], { environment: { FAIRLEAD_URL: url }, cwd, ...script });
  expect(code).toBe(9);
  expect(err).toContain("The files are on another node");
  expect(existsSync(join(cwd, "fairlead-job"))).toBe(false);
});

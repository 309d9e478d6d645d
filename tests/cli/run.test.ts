import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasBwrap } from "../support/script-trial.ts";
import { type Service, startService } from "../support/service.ts";
import { cli, scratch, startCli } from "./cli.ts";

setDefaultTimeout(60_000);

let service: Service;
let environment: Record<string, string>;

beforeAll(async () => {
  service = await startService({ SANDBOX: hasBwrap ? "bwrap" : "none", PAYLOAD_MAX_MB: "4" });
  environment = { FAIRLEAD_URL: service.url };
});
afterAll(() => service.stop());

/** A directory with these files in it. */
function workplace(files: Record<string, string>): string {
  const directory = scratch("run");
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

test("run sends files, shows the output, saves what the script made and changed, and exits with its code", async () => {
  const cwd = workplace({
    "fit.sh": [
      "echo start",
      "echo '::progress 0.5 half way'",
      "wc -c < in.pdb > size.txt",
      "echo more >> changed.txt",
      "mkdir -p plots/a && echo p > plots/a/one.svg",
      "printf '#!/bin/sh\\n' > tool && chmod 755 tool",
      "echo end; exit 7",
    ].join("\n"),
    "in.pdb": "12345",
    "changed.txt": "before\n",
  });
  const { code, out, err } = await cli(["run", "./fit.sh", "in.pdb", "changed.txt", "-o", "results"], {
    environment,
    cwd,
  });
  expect({ code, out }).toEqual({ code: 7, out: "start\nend\n" });
  expect(err).toContain("50 %  half way\n");
  expect(err).toContain("failed: run.sh exited with code 7\n");
  const results = join(cwd, "results");
  expect(readdirSync(results).toSorted()).toEqual(["changed.txt", "plots", "size.txt", "tool"]);
  expect(readFileSync(join(results, "size.txt"), "utf8").trim()).toBe("5");
  expect(readFileSync(join(results, "changed.txt"), "utf8")).toBe("before\nmore\n");
  expect(readFileSync(join(results, "plots/a/one.svg"), "utf8")).toBe("p\n");
  expect(statSync(join(results, "tool")).mode & 0o111).not.toBe(0);
});

test("run takes the script from stdin, and names a directory by the job when it is given none", async () => {
  const cwd = scratch("run");
  const { code, err } = await cli(["run", "-"], { environment, cwd, stdin: "echo 1 > one.txt" });
  expect(code).toBe(0);
  const [, id = ""] = /^job (\S+)$/m.exec(err) ?? [];
  expect(readdirSync(cwd)).toEqual([`fairlead-${id.slice(-8)}`]);
});

test("run makes no directory when there is nothing to save", async () => {
  const cwd = scratch("run");
  expect(await cli(["run", "-"], { environment, cwd, stdin: "echo hi" })).toMatchObject({ code: 0, out: "hi\n" });
  expect(readdirSync(cwd)).toEqual([]);
});

test("run leaves files alone that are there already, says so, and writes over them with --force", async () => {
  const cwd = workplace({ "a.txt": "mine" });
  const words = ["run", "-", "-o", "."];
  const kept = await cli(words, { environment, cwd, stdin: "echo theirs > a.txt; echo b > b.txt" });
  expect(kept.code).toBe(1);
  expect(kept.err).toContain("./a.txt is there already and was left alone");
  expect(readFileSync(join(cwd, "a.txt"), "utf8")).toBe("mine");
  expect(readFileSync(join(cwd, "b.txt"), "utf8")).toBe("b\n");
  const forced = await cli([...words, "--force"], { environment, cwd, stdin: "echo theirs > a.txt" });
  expect(forced.code).toBe(0);
  expect(readFileSync(join(cwd, "a.txt"), "utf8")).toBe("theirs\n");
});

test.each([
  ["kill -KILL $$", 137],
  ["kill -SEGV $$", 139],
  ["exit 42", 42],
  ["true", 0],
])("run of `%s` exits with %d", async (script, code) => {
  expect(await cli(["run", "-"], { environment, stdin: script })).toMatchObject({ code });
});

test("run exits with the signal of a script whose time is over", async () => {
  const { code, err } = await cli(["run", "-", "--timeout", "1s"], { environment, stdin: "exec sleep 60" });
  expect(code).toBe(143);
  expect(err).toContain("failed: run.sh was stopped: it did not end within 1 s");
});

test("run --json prints the job alone on stdout", async () => {
  const { code, out, err } = await cli(["run", "-", "--json", "--tag", "a", "--tag", "b"], {
    environment,
    stdin: "echo loud; exit 3",
  });
  expect(code).toBe(3);
  expect(JSON.parse(out)).toMatchObject({ status: "failed", tags: ["a", "b"], error: { code: "exit_nonzero" } });
  expect(err).toContain("loud\n");
});

test("run --detach prints the id and leaves", async () => {
  const { code, out, err } = await cli(["run", "-", "--detach"], { environment, stdin: "echo later" });
  expect(code).toBe(0);
  expect(err).toContain(`fairlead logs ${out.trim()} --follow`);
  const followed = await cli(["logs", out.trim(), "--follow"], { environment });
  expect(followed).toMatchObject({ code: 0, out: "later\n" });
});

test("a script that is not there is said with what to write", async () => {
  const { code, err } = await cli(["run", "./run.sh"], { environment, cwd: scratch("run") });
  expect(code).toBe(1);
  expect(err).toContain("./run.sh is not there: write what is to be run into it first, for example: echo");
});

test("files that cannot be sent are said before anything is", async () => {
  const cwd = workplace({ "run.sh": "true", "a.txt": "1" });
  mkdirSync(join(cwd, "sub"));
  writeFileSync(join(cwd, "sub/a.txt"), "2");
  const said = async (...files: string[]) => (await cli(["run", "run.sh", ...files], { environment, cwd })).err;
  expect(await said("none.txt")).toContain("none.txt is not there");
  expect(await said("sub")).toContain("sub is a directory: pack it");
  expect(await said("a.txt", "sub/a.txt")).toContain("sub/a.txt and a.txt would both be a.txt");
  expect(await said("run.sh")).toContain("would both be run.sh");
  expect(await (await service.call("/api/v1/jobs?q=none.txt")).json()).toMatchObject({ jobs: [] });
});

test("an upload that is too large is refused by the service, and ends with 1", async () => {
  const cwd = workplace({ "run.sh": "true" });
  writeFileSync(join(cwd, "big.bin"), new Uint8Array(24 * 1_048_576));
  const { code, err } = await cli(["run", "run.sh", "big.bin"], { environment, cwd });
  expect(code).toBe(1);
  expect(err).toMatch(/fairlead: The upload .* 4194304 bytes/);
});

const slow = "for i in $(seq 600); do echo line $i; sleep 0.1; done";

test("Ctrl-C leaves the job running and says how to come back", async () => {
  const command = startCli(["run", "-"], { environment, stdin: slow });
  await command.prints("line 2\n");
  command.interrupt();
  const { code, err } = await command.done;
  expect(code).toBe(130);
  const [, id = ""] = /Come back with: fairlead logs (\S+) --follow/.exec(err) ?? [];
  expect(await (await service.call(`/api/v1/jobs/${id}`)).json()).toMatchObject({ status: "running" });
  const back = startCli(["logs", id, "--follow"], { environment });
  await back.prints("line 1\n");
  expect((await cli(["cancel", id, "--wait"], { environment })).err).toContain(`${id}: cancelled`);
  expect((await back.done).err).toContain("cancelled");
});

test("Ctrl-C twice cancels the job", async () => {
  const command = startCli(["run", "-"], { environment, stdin: slow });
  await command.prints("line 2\n");
  command.interrupt();
  await command.says("Ctrl-C again cancels it");
  command.interrupt();
  const { code, err } = await command.done;
  expect(code).toBe(130);
  expect(err).toContain("The job is cancelled.");
  const [, id = ""] = /fairlead logs (\S+) --follow/.exec(err) ?? [];
  expect(await (await service.call(`/api/v1/jobs/${id}`)).json()).toMatchObject({ status: "cancelled" });
});

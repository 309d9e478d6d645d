import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasBwrap } from "../support/script-trial.ts";
import { type Service, startService } from "../support/service.ts";
import { cli, scratch, startCli } from "./cli.ts";

setDefaultTimeout(60_000);

const key = "the-key-of-these-tests";
let service: Service;
let environment: Record<string, string>;

beforeAll(async () => {
  service = await startService({ SANDBOX: hasBwrap ? "bwrap" : "none", AUTH_KEY: key });
  environment = { FAIRLEAD_URL: service.url, FAIRLEAD_KEY: key };
});
afterAll(() => service.stop());

/** The id of a job that was submitted with these words. */
async function submitted(...words: string[]): Promise<string> {
  const { code, out, err } = await cli(["submit", ...words], { environment });
  if (code !== 0) throw new Error(err);
  return out.trim();
}

async function json(...words: string[]) {
  const { code, out, err } = await cli([...words, "--json"], { environment });
  if (code !== 0) throw new Error(err);
  return JSON.parse(out);
}

describe("submit", () => {
  test("prints the id alone", async () => {
    const { code, out, err } = await cli(["submit", "hello"], { environment });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^[0-9a-f-]{36}\n$/);
  });

  test("waits for the result, from input on the command line, in a file and on stdin", async () => {
    const file = join(scratch("submit"), "in.json");
    writeFileSync(file, '{"name":"Bo"}');
    const greet = async (input: string, stdin?: string) => {
      const words = ["submit", "hello", "--wait", "--input", input];
      const { code, out } = await cli(words, { environment, ...(stdin === undefined ? {} : { stdin }) });
      return { code, result: JSON.parse(out) };
    };
    expect(await greet('{"name":"Ada"}')).toEqual({ code: 0, result: { message: "Hello Ada!" } });
    expect(await greet(`@${file}`)).toEqual({ code: 0, result: { message: "Hello Bo!" } });
    expect(await greet("-", '{"name":"Cy"}')).toEqual({ code: 0, result: { message: "Hello Cy!" } });
  });

  test("runs a chain of containers", async () => {
    const words = [
      "submit",
      "--container",
      "to-uppercase",
      "--container",
      "word-count",
      "-i",
      '{"text":"a b"}',
      "--wait",
    ];
    const { code, err } = await cli([...words, "--json"], { environment });
    expect({ code, err: err.includes("succeeded") }).toEqual({ code: 0, err: true });
  });

  test("runs a script with a file, and exits with its code", async () => {
    const directory = scratch("submit");
    writeFileSync(join(directory, "x.sh"), "grep -q needle data.txt && exit 5");
    writeFileSync(join(directory, "data.txt"), "needle");
    const words = ["submit", "--script", "x.sh", "--file", "data.txt", "--wait"];
    expect(await cli(words, { environment, cwd: directory })).toMatchObject({ code: 5, out: "" });
  });

  test("takes a whole job, and flags win over its parts", async () => {
    const whole = '{"function":"hello","input":{"name":"Ada"},"priority":9,"tags":["whole"]}';
    const job = await json("submit", "--job", whole, "--priority", "4", "--hold", "--id", "mine");
    expect(job).toMatchObject({ id: "mine", priority: 4, tags: ["whole"], held: true, input: { name: "Ada" } });
  });

  test("asks for a node, and shows that there is none such", async () => {
    const asked = ["--region", "fra", "--needs", "gpu", "--needs", "big"];
    const { id } = (await json("submit", "hello", ...asked)) as { id: string };
    const { out } = await cli(["job", id], { environment });
    expect(out).toContain("no node in region fra, no node with tags gpu, big");
    expect((await cli(["cancel", id], { environment })).code).toBe(0);
  });

  test("hands on every problem that the service found", async () => {
    const { code, out, err } = await cli(["submit", "hallo", "--tag", ""], { environment });
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("/tags/0");
  });

  test("names the functions that there are", async () => {
    const { code, err } = await cli(["submit", "hallo"], { environment });
    expect(code).toBe(1);
    expect(err).toContain('there is no function "hallo"; there are checksum, countdown, fetch_title, hello');
  });
});

describe("jobs", () => {
  test("lists what the filters ask for", async () => {
    const id = await submitted("hello", "--tag", "listed", "-i", '{"name":"Zaphod"}');
    await json("job", id, "--wait");
    const { code, out } = await cli(["jobs", "--tag", "listed", "--status", "succeeded,failed"], { environment });
    expect(code).toBe(0);
    const [head = "", row = "", ...more] = out.trimEnd().split("\n");
    expect(head.split(/\s+/)).toEqual(["ID", "STATUS", "RUNNER", "WHAT", "AGE", "TOOK", "NOTE"]);
    expect(row.split(/\s+/).slice(0, 4)).toEqual([id, "succeeded", "function", "hello"]);
    expect(more).toEqual([]);
    const page = await json("jobs", "--search", "Zaphod");
    expect(page.jobs.map((job: { id: string }) => job.id)).toEqual([id]);
    expect(page.next).toBeNull();
  });

  test("says how to see the next page", async () => {
    await submitted("hello", "--tag", "paged");
    const second = await submitted("hello", "--tag", "paged");
    const first = await cli(["jobs", "--tag", "paged", "--limit", "1"], { environment });
    expect(first.out).toContain(second);
    const [, cursor = ""] = /--after (\S+)/.exec(first.err) ?? [];
    const next = await cli(["jobs", "--tag", "paged", "--limit", "1", "--after", cursor], { environment });
    expect(next.out).not.toContain(second);
    expect(next.out.trimEnd().split("\n")).toHaveLength(2);
  });

  test("says that there are none on stderr", async () => {
    expect(await cli(["jobs", "--tag", "none-has-it"], { environment })).toEqual({
      code: 0,
      out: "",
      err: "There are no such jobs.\n",
    });
  });

  test("keeps what others wrote from moving the cursor", async () => {
    await json(
      "submit",
      "--job",
      JSON.stringify({ function: "hello", hold: true, id: "tidy", tags: ["esc\u001b[2J"] }),
    );
    const { out } = await cli(["job", "tidy"], { environment });
    expect(out).toContain("esc\ufffd[2J");
    expect(out).not.toContain("\u001b");
  });
});

describe("job", () => {
  test("shows what there is to know, and why it waits", async () => {
    const id = await submitted("hello", "--hold", "--tag", "x");
    const { code, out } = await cli(["job", id], { environment });
    expect(code).toBe(0);
    expect(out).toMatch(/^status +queued$/m);
    expect(out).toMatch(/^waiting +held$/m);
    expect(out).toMatch(/^client +key:/m);
  });

  test("--wait exits with the end of the job, --runs lists its executions", async () => {
    const id = await submitted("fetch_title", "-i", '{"url":"http://127.0.0.1:9/"}');
    const waited = await cli(["job", id, "--wait"], { environment });
    expect(waited.code).toBe(1);
    expect(waited.out).toMatch(/^error +function_error: /m);
    const { runs } = await json("job", id, "--runs");
    expect(runs).toMatchObject([{ task: 0, turn: 1, attempt: 1, outcome: "failed" }]);
  });

  test("that is not there ends with 1", async () => {
    expect(await cli(["job", "nobody"], { environment })).toEqual({
      code: 1,
      out: "",
      err: 'fairlead: There is no job "nobody"\n',
    });
  });
});

describe("logs", () => {
  test("show the history, from a number on, as text and as JSON", async () => {
    const id = await submitted("countdown", "-i", '{"from":3,"intervalMs":1}');
    await json("job", id, "--wait");
    const { code, out, err } = await cli(["logs", id], { environment });
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(err).toContain("100 %  Lift-off\n");
    expect(err).toEndWith("succeeded\n");
    const lines = (await cli(["logs", id, "--json", "--after", "2"], { environment })).out.trimEnd().split("\n");
    const events = lines.map((line) => JSON.parse(line));
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 3));
    expect(events.at(-1)).toMatchObject({ kind: "completed", status: "succeeded" });
  });

  test("without --follow end where the job is now", async () => {
    const id = await submitted("countdown", "-i", '{"from":500,"intervalMs":50}');
    const { code, err } = await cli(["logs", id], { environment });
    expect(code).toBe(0);
    expect(err).toMatch(/running; --follow shows what comes\n$/);
    await cli(["cancel", id], { environment });
  });

  test("of a job that was retried go on behind its first end", async () => {
    const id = await submitted("hello");
    await json("job", id, "--wait");
    expect(await json("retry", id, "--input", '{"name":"again"}')).toMatchObject({ id });
    expect((await json("job", id, "--wait")).result).toEqual({ message: "Hello again!" });
    const { out } = await cli(["logs", id, "--follow", "--json"], { environment });
    const kinds = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).kind);
    expect(kinds.filter((kind) => kind === "completed")).toHaveLength(2);
    expect(kinds.at(-1)).toBe("completed");
  });

  test("stop quietly when their reader leaves", async () => {
    const id = await submitted("countdown", "-i", '{"from":2000,"intervalMs":1}');
    const script = `"$0" "$1" logs ${id} --follow --json | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const main = join(import.meta.dir, "../../src/main.ts");
    const child = Bun.spawn(["bash", "-c", script, process.execPath, main], {
      env: { ...process.env, ...environment },
    });
    const out = await new Response(child.stdout).text();
    expect(out).toMatch(/^\{"seq":1,.*\}\n141\n$/);
  });
});

describe("cancel and retry", () => {
  test("act on jobs, and refuse what cannot be", async () => {
    const [held, done] = [await submitted("hello", "--hold"), await submitted("hello")];
    await json("job", done, "--wait");
    expect(await json("cancel", held)).toMatchObject({ id: held, status: "cancelled" });
    const refused = await cli(["cancel", done], { environment });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("has ended: it is succeeded");
    const early = await cli(["retry", await submitted("hello", "--hold")], { environment });
    expect(early.code).toBe(1);
  });

  test("begin a chain again at a later task", async () => {
    const words = ["--container", "to-uppercase", "--container", "word-count", "-i", '{"text":"a b"}'];
    const id = await submitted(...words);
    await json("job", id, "--wait");
    await json("retry", id, "--from-task", "1", "--input", '{"text":"one two three"}');
    await json("job", id, "--wait");
    const { runs } = await json("job", id, "--runs");
    expect(runs.map(({ task }: { task: number }) => task).toSorted()).toEqual([0, 1, 1]);
  });
});

describe("files", () => {
  test("are listed, shown and saved", async () => {
    const directory = scratch("files");
    const script = "mkdir out; printf 'héllo' > 'out/a b.txt'";
    const id = (await cli(["run", "-", "--detach"], { environment, cwd: directory, stdin: script })).out.trim();
    await json("job", id, "--wait");
    const listed = await cli(["files", id], { environment });
    expect(listed.out).toMatch(/^6 B +out\/a b\.txt +text\/plain.* [0-9a-f]{64}$/m);
    expect((await json("files", id)).files).toHaveLength(2);
    expect((await cli(["files", id, "out/a b.txt"], { environment })).out).toBe("héllo");
    const all = await cli(["files", id, "-o", "all"], { environment, cwd: directory });
    expect(all).toMatchObject({ code: 0, err: "2 files in all\n" });
    expect(readFileSync(join(directory, "all/out/a b.txt"), "utf8")).toBe("héllo");
    const again = await cli(["files", id, "-o", "all"], { environment, cwd: directory });
    expect(again).toMatchObject({ code: 1 });
    expect(again.err).toContain("is there already and was left alone");
    const one = await cli(["files", id, "out/a b.txt", "-o", "one.txt"], { environment, cwd: directory });
    expect(one.code).toBe(0);
    expect(readFileSync(join(directory, "one.txt"), "utf8")).toBe("héllo");
    expect((await cli(["files", id, "nope.txt", "-o", "x"], { environment, cwd: directory })).code).toBe(1);
  });
});

test("functions are listed with their parameters", async () => {
  const { out } = await cli(["functions"], { environment });
  expect(out).toMatch(/^countdown +from\?, intervalMs\? +Counts down/m);
  expect((await json("functions")).functions.map(({ name }: { name: string }) => name)).toContain("hello");
});

describe("keys", () => {
  test("are asked for with 1 and the way to give one", async () => {
    const { code, err } = await cli(["jobs"], { environment: { FAIRLEAD_URL: service.url } });
    expect(code).toBe(1);
    expect(err).toContain("FAIRLEAD_KEY");
    expect(err).toContain("--key-file");
  });

  test("are taken from a file, from stdin, from FAIRLEAD_KEY before AUTH_KEY", async () => {
    const url = { FAIRLEAD_URL: service.url };
    const file = join(scratch("key"), "key");
    writeFileSync(file, `${key}\n`);
    const codes = await Promise.all([
      cli(["jobs", "--key-file", file], { environment: { ...url, FAIRLEAD_KEY: "wrong" } }),
      cli(["jobs", "--key-file", "-"], { environment: url, stdin: key }),
      cli(["jobs"], { environment: { ...url, FAIRLEAD_KEY: key, AUTH_KEY: "wrong" } }),
      cli(["jobs"], { environment: { ...url, AUTH_KEY: `${key},other` } }),
      cli(["jobs"], { environment: { ...url, AUTH_KEY: "wrong" } }),
    ]);
    expect(codes.map(({ code }) => code)).toEqual([0, 0, 0, 0, 1]);
    expect((await cli(["jobs", "--key-file", `${file}.none`], { environment: url })).err).toContain("is not there");
  });

  test("are no flag", async () => {
    expect(await cli(["jobs", "--key", key], { environment })).toMatchObject({ code: 2 });
  });
});

test("token prints one that reads this job alone", async () => {
  const [id, other] = [await submitted("hello", "--hold"), await submitted("hello", "--hold")];
  const { out, err } = await cli(["token", id, "--ttl", "5m"], { environment });
  expect(err).toContain(`Reads job ${id} until `);
  expect((await service.call(`/api/v1/jobs/${id}?token=${out.trim()}`)).status).toBe(200);
  expect((await service.call(`/api/v1/jobs/${other}?token=${out.trim()}`)).status).toBe(401);
  expect(await json("token", id)).toEqual({ token: expect.any(String), expires_at: expect.any(String) });
});

test("colors are for terminals alone", async () => {
  const { out, err } = await cli(["job", await submitted("hello", "--hold")], { environment });
  expect(`${out}${err}`).not.toContain("\u001b");
});

test("a command that is stopped while it follows leaves the job alone", async () => {
  const id = await submitted("countdown", "-i", '{"from":500,"intervalMs":50}');
  const following = startCli(["logs", id, "--follow"], { environment });
  await following.says("% ");
  following.interrupt();
  expect((await following.done).code).toBe(130);
  expect(await json("job", id)).toMatchObject({ status: "running" });
  await json("cancel", id);
});

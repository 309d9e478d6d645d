import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { descendantsOf, isAlive, processesTagged, readProc } from "../../src/runners/sandbox/processes.ts";
import {
  Automations,
  documentOf,
  failureOf,
  hasChromium,
  interact,
  stepsOf,
  succeeded,
  until,
} from "../support/pages/automate.ts";
import { startSite } from "../support/pages/site.ts";

setDefaultTimeout(60_000);

const site = startSite();
const form = site.url("/form.html");
const waiting = documentOf(form, [{ sleep_action: { sleep_time: 50 } }]);
const canSeeProcesses = process.platform === "linux";

afterAll(() => site[Symbol.asyncDispose]());

describe.skipIf(!hasChromium)("a page", () => {
  test("that never answers is a time-out with the node's number and command", async () => {
    await using automations = new Automations({ navigationTimeoutMs: 700 });
    const start = await automations.run({ document: documentOf(site.url("/never"), []) });
    expect(failureOf(start).message).toStartWith(
      `start page, open ${site.url("/never")}: goto: Timeout 700ms exceeded`,
    );
    const later = await automations.run({
      document: documentOf(form, [interact("go_to_url", { url: site.url("/never") })]),
    });
    expect(failureOf(later).message).toStartWith(
      `node 1, go_to_url ${site.url("/never")}: goto: Timeout 700ms exceeded`,
    );
    const nobody = await automations.run({ document: documentOf("http://127.0.0.1:9/", []) });
    expect(failureOf(nobody).message).toMatch(/ERR_(UNSAFE_PORT|CONNECTION_REFUSED)/);
  });

  test("that never gets on runs into the task's time, which names what was being done", async () => {
    await using automations = new Automations({ killGraceMs: 1_000 });
    succeeded(await automations.run({ document: documentOf("about:blank", []) }));
    const ran = await automations.run({
      timeoutMs: 2_500,
      document: documentOf(site.url("/busy.html"), [
        { sleep_action: { sleep_time: 1 } },
        interact("click_element", { command: 'get_by_text("Busy")' }, { max_tries: 100 }),
      ]),
    });
    expect(ran.outcome).toEqual({
      kind: "timed_out",
      message: expect.stringMatching(/^the automation timed out after 2\.5 s in (start page|node [12]), /),
    });
    expect(ran.facts.wallMs).toBeLessThan(8_000);
  });

  test.skipIf(!canSeeProcesses)("that crashes fails its task, and the next one runs", async () => {
    await using automations = new Automations();
    const { ran, logs } = automations.start({ document: waiting });
    await until(() => logs.some((line) => line.includes("start page")), "the page to be open");
    await killThose((commandLine) => commandLine.includes("--type=renderer"));
    const crashed = await ran;
    expect(failureOf(crashed)).toEqual({
      code: "automation_error",
      message: `node 1, sleep_action: the page ${form} crashed`,
    });
    expect(stepsOf(crashed).at(-1)).toMatchObject({ node: 1, outcome: "failed" });
    succeeded(await automations.run({ document: documentOf(form, []) }));
  });
});

describe.skipIf(!hasChromium || !canSeeProcesses)("a browser", () => {
  test("that is killed fails its task, and a new one is started for the next", async () => {
    await using automations = new Automations();
    const { ran, logs } = automations.start({ document: waiting });
    await until(() => logs.some((line) => line.includes("start page")), "the page to be open");
    await killThose(
      (commandLine) => commandLine.includes("--remote-debugging-pipe") && !commandLine.includes("--type="),
    );
    expect(failureOf(await ran).message).toBe("node 1, sleep_action: the browser ended unexpectedly");
    succeeded(await automations.run({ document: documentOf(form, []) }));
  });

  test("whose process is killed fails its task honestly and leaves nothing", async () => {
    await using automations = new Automations();
    const { ran, logs } = automations.start({ document: waiting });
    await until(() => logs.some((line) => line.includes("start page")), "the page to be open");
    await killThose((commandLine) => commandLine.includes("runners/automation/child.ts"));
    const killed = await ran;
    expect(failureOf(killed)).toEqual({
      code: "automation_error",
      message: "the browser process ended unexpectedly (SIGKILL)",
    });
    expect(killed.facts.signal).toBe("SIGKILL");
    await until(async () => (await browsers()).length === 0, "everything to be gone");
    await until(() => readdirSync(join(automations.directory, "work")).length === 0, "its files to be gone");
  });

  test("is kept warm between tasks and closed after a while", async () => {
    await using automations = new Automations({ idleMs: 400 });
    succeeded(await automations.run({ document: documentOf(form, []) }));
    const [first] = await ownChildren();
    const second = await automations.run({ document: documentOf(form, []) });
    succeeded(second);
    expect(await ownChildren()).toEqual([first ?? 0]);
    expect(second.facts.maxRssMb).toBeGreaterThan(50);
    await until(async () => (await browsers()).length === 0, "the idle browser to be closed");
    await until(() => readdirSync(join(automations.directory, "work")).length === 0, "its files to be gone");
  });

  test("that takes more memory than it may is ended", async () => {
    await using automations = new Automations();
    const ran = await automations.run({ limits: { memoryMb: 60 }, document: waiting });
    expect(failureOf(ran).code).toBe("out_of_memory");
    expect(failureOf(ran).message).toMatch(/^the browser used \d+ MiB, more than the 60 MiB allowed, /);
    expect(await browsers()).toEqual([]);
  });
});

describe.skipIf(!hasChromium || !canSeeProcesses)("a server", () => {
  test("that is killed takes its browsers with it", async () => {
    const program = join(import.meta.dir, "../support/pages/hosting.ts");
    const directory = mkdtempSync(join(tmpdir(), "hosted-"));
    const server = Bun.spawn([process.execPath, program, JSON.stringify(waiting)], {
      env: { ...process.env, TMPDIR: directory },
      stdout: "pipe",
      stderr: "inherit",
    });
    for await (const chunk of server.stdout) {
      if (new TextDecoder().decode(chunk).includes("start page")) break;
    }
    const all = await descendantsOf(server.pid);
    expect(all.length).toBeGreaterThan(4);
    server.kill("SIGKILL");
    await until(async () => [...(await browsers()), ...all.filter(isAlive)].length === 0, "its browsers to be gone");
    rmSync(directory, { recursive: true });
  });
});

describe.skipIf(!hasChromium)("a task that is stopped", () => {
  test("is cancelled at once, with its steps written and no process left", async () => {
    await using automations = new Automations();
    const { run, ran, logs } = automations.start({ document: waiting });
    await until(() => logs.some((line) => line.includes("start page")), "the page to be open");
    const stoppedAt = performance.now();
    run.stop("cancelled");
    run.stop("timed_out");
    const stopped = await ran;
    expect(stopped.outcome).toEqual({ kind: "cancelled" });
    expect(performance.now() - stoppedAt).toBeLessThan(6_000);
    if (canSeeProcesses) expect(await browsers()).toEqual([]);
    expect(stepsOf(stopped).map(({ outcome }) => outcome)).toEqual(["ok", "failed"]);
    succeeded(await automations.run({ document: documentOf(form, []) }));
  });

  test.each(["interrupted", "fenced"] as const)("is %s, which counts as interrupted", async (reason) => {
    await using automations = new Automations();
    const { run, ran } = automations.start({ document: waiting });
    run.stop(reason);
    expect((await ran).outcome).toEqual({ kind: "interrupted" });
  });

  test.skipIf(!canSeeProcesses)("loses its whole tree even when its process no longer listens", async () => {
    await using automations = new Automations({ killGraceMs: 300 });
    const { run, ran, logs } = automations.start({ document: waiting });
    await until(() => logs.some((line) => line.includes("start page")), "the page to be open");
    const all = await browsers();
    for (const pid of all) process.kill(pid, "SIGSTOP");
    run.stop("cancelled");
    expect((await ran).outcome).toEqual({ kind: "cancelled" });
    expect(all.length).toBeGreaterThan(4);
    expect([...(await browsers()), ...all.filter(isAlive)]).toEqual([]);
  });
});

describe("without a browser", () => {
  test("a task fails with the reason and the fix", async () => {
    await using nowhere = new Automations({ environment: { PATH: "/nonexistent" }, chromiumPath: "" });
    const ran = await nowhere.run({ document: documentOf("about:blank", []) });
    expect(failureOf(ran)).toEqual({
      code: "automation_error",
      message: "Chromium was not found: install it (apt install chromium) or set CHROMIUM_PATH",
    });
    await using wrong = new Automations({ chromiumPath: "/nonexistent/chromium" });
    expect(failureOf(await wrong.run({ document: documentOf("about:blank", []) })).message).toContain(
      "CHROMIUM_PATH is /nonexistent/chromium, which is no program",
    );
  });

  test("a task fails when the program is none that starts", async () => {
    const directory = mkdtempSync(join(tmpdir(), "no-browser-"));
    const program = join(directory, "chromium");
    writeFileSync(program, "#!/bin/sh\necho cannot open display >&2\nexit 1\n", { mode: 0o755 });
    await using automations = new Automations({ chromiumPath: program });
    const ran = await automations.run({ document: documentOf("about:blank", []) });
    expect(failureOf(ran).message).toBe(`Chromium (${program}) did not start: cannot open display`);
    expect(existsSync(join(ran.directory, "final_screenshot.png"))).toBe(false);
    rmSync(directory, { recursive: true });
  });
});

describe.skipIf(!hasChromium)("bad input", () => {
  test("is refused before a browser is started", async () => {
    await using automations = new Automations();
    const parameters = { input_parameters: { email: ["x"] } };
    const document = documentOf(form, [], { parameters });
    const failures = [
      await automations.run({ target: "nobody" }),
      await automations.run({ document: { nodes: 3 } }),
      await automations.run({ document, input: {} }),
      await automations.run({ document, input: { email: "a" } }),
      await automations.run({ document, input: { email: ["a"], more: [] } }),
      await automations.run({
        document,
        input: { email: ["a"] },
        options: { task: { secure_parameters: { code: ["plain"] } } },
      }),
    ].map(failureOf);
    expect(failures.map(({ code }) => code)).toEqual(Array.from({ length: 6 }, () => "invalid"));
    expect(failures.map(({ message }) => message)).toEqual([
      'there is no automation "nobody"; there are none (AUTOMATIONS_DIR)',
      'The automation document has 2 problems: document: "url" is missing; document: "nodes" must be a list, not 3',
      "missing parameters: email",
      '"email" must be a list, as in ["value"]',
      "unknown parameters: more (the automation has email)",
      expect.stringContaining('secure parameter "code" must be a list of objects'),
    ]);
    if (canSeeProcesses) expect(await browsers()).toEqual([]);
  });

  test("of a thousand values is no trouble", async () => {
    await using automations = new Automations();
    const parameters = { input_parameters: { id: [] } };
    const nodes = [
      { misc_action: { set_variable: { name: "sum", value: 0 } } },
      {
        variable_name: "id",
        max_iterations: 50,
        nodes: [{ misc_action: { set_variable: { name: "sum", expression: "{sum[0]} + {id[index]}" } } }],
      },
      {
        misc_action: { set_variable: { name: "sum", expression: "{sum[0]} + {id[999]}", output_variable_name: "sum" } },
      },
    ];
    const ran = await automations.run({
      input: { id: Array.from({ length: 1_000 }, (_, at) => at) },
      document: documentOf(form, nodes, { parameters }),
    });
    expect(succeeded(ran).output_data).toEqual([{ sum: 1_225 + 999 }]);
  });

  test("of a payload whose directories are links is refused", async () => {
    await using automations = new Automations();
    const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
    const linked = automations.nextDirectory;
    Bun.spawnSync(["mkdir", "-p", linked]);
    Bun.spawnSync(["ln", "-s", elsewhere, join(linked, "downloads")]);
    expect(failureOf(await automations.run({ document: documentOf(form, []) }))).toMatchObject({ code: "invalid" });
    expect(readdirSync(elsewhere)).toEqual([]);
    rmSync(elsewhere, { recursive: true });
  });
});

/** Every process of every browser that this file's runners have started, and of those that outlived them. */
/** Tokens of the browsers that this file has started: other files run theirs at the same time. */
const ownTokens = new Set<string>();

async function browsers(): Promise<number[]> {
  const own = new Set(await descendantsOf(process.pid));
  const all = await processesTagged("fairlead-browser:");
  for (const pid of all) if (own.has(pid)) ownTokens.add(tokenOf(pid));
  const tagged = all.filter((pid) => own.has(pid) || (isOrphan(pid) && ownTokens.has(tokenOf(pid))));
  const below = await Promise.all(tagged.map((pid) => descendantsOf(pid)));
  return [...new Set([...tagged, ...below.flat()])].filter(isAlive);
}

async function ownChildren(): Promise<number[]> {
  return (await browsers()).filter((pid) => commandLine(pid).includes("runners/automation/child.ts"));
}

function tokenOf(pid: number): string {
  return /fairlead-browser:[0-9a-f-]{36}/.exec(readProc(`/proc/${pid}/environ`))?.[0] ?? "";
}

/** Chromium's crash handlers detach themselves from everything but their environment. */
function isOrphan(pid: number): boolean {
  return readProc(`/proc/${pid}/stat`).split(") ")[1]?.split(" ")[1] === "1";
}

function commandLine(pid: number): string {
  return readProc(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
}

async function killThose(isMeant: (commandLine: string) => boolean): Promise<void> {
  const all = await browsers();
  const meant = all.filter((pid) => isMeant(commandLine(pid)));
  if (meant.length === 0) throw new Error(`No such process among ${all.map(commandLine).join("\n")}`);
  for (const pid of meant) process.kill(pid, "SIGKILL");
}

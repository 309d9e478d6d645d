import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  Automations,
  documentOf,
  failureOf,
  hasChromium,
  outputOf,
  stepsOf,
  succeeded,
} from "../support/pages/automate.ts";
import { startSite } from "../support/pages/site.ts";

setDefaultTimeout(60_000);

const site = startSite();
const automations = new Automations();
const samples = new Automations({ automations: resolve(import.meta.dir, "../../automations") });

afterAll(async () => {
  await Promise.all([automations, samples, site].map((each) => each[Symbol.asyncDispose]()));
});

describe.skipIf(!hasChromium)("a TypeScript automation", () => {
  test("gets a page of its own and leaves output, files, steps and logs", async () => {
    await define(
      "tour",
      `
      async run({ page, input, taskId, attempt, download, screenshot, output, step, progress, log, signal }) {
        console.log("printed");
        await page.goto(${JSON.stringify(site.url("/tabs.html"))});
        output({ who: input.who[0], taskId, attempt, aborted: signal.aborted });
        const file = await download(() => page.getByText("Report").click(), "r.csv");
        const picture = await screenshot("tabs", { fullPage: true });
        const title = await step("read the title", () => page.title());
        progress(0.5, "half");
        log("a line"); log.warn("a warning");
        return { file, picture, title };
      }`,
    );
    const ran = await automations.run({
      target: "tour",
      input: { who: ["Ann"] },
      attempt: 2,
      options: { task: { task_id: "t-1" } },
    });
    expect(succeeded(ran)).toEqual({
      output_data: [
        { who: "Ann", taskId: "t-1", attempt: 2, aborted: false },
        { file: "r.csv", picture: "tabs.png", title: "Tabs" },
      ],
      final_screenshot: "final_screenshot.png",
      downloads: ["r.csv"],
      screenshots: ["tabs.png"],
      steps: 2,
    });
    expect(ran.logs).toContain("info printed");
    expect(ran.logs).toContain("warn a warning");
    expect(ran.fractions).toEqual([0.5]);
    expect(stepsOf(ran)).toMatchObject([
      {
        node: null,
        action: "step",
        command: "read the title",
        outcome: "ok",
        title: "Tabs",
        screenshot: "step_0001.jpg",
      },
      { node: null, action: "run", outcome: "ok" },
    ]);
    expect(readFileSync(join(ran.directory, "downloads", "r.csv"), "utf8")).toContain("id,total");
    expect(readdirSync(join(ran.directory, "screenshots"))).toEqual(["tabs.png"]);
  });

  test("fails with what it throws, and keeps what it had", async () => {
    await define(
      "throws",
      `async run({ page, output, step }) { output({ had: 1 }); await step("bad step", async () => { throw new Error("no luck"); }); }`,
    );
    const ran = await automations.run({ target: "throws", input: { who: [] } });
    expect(failureOf(ran)).toEqual({ code: "automation_error", message: "run: step bad step: no luck" });
    expect(outputOf(ran).output_data).toEqual([{ had: 1 }]);
    expect(stepsOf(ran).map(({ outcome }) => outcome)).toEqual(["failed", "failed"]);
  });

  test("that throws where nobody waits ends its task, not the runner", async () => {
    await define(
      "stray",
      `async run({ page }) { setTimeout(() => { throw new Error("stray"); }, 50); await page.waitForTimeout(20_000); }`,
    );
    const ran = await automations.run({ target: "stray", input: { who: [] } });
    expect(failureOf(ran).message).toContain("thrown outside of the automation's own promises: Error: stray");
    succeeded(await automations.run({ document: documentOf(site.url("/form.html"), []) }));
  });

  test("sees nothing of the task before it, nor of the server's environment", async () => {
    await define(
      "leaves",
      `async run({ page, context }) {
      await page.goto(${JSON.stringify(site.url("/form.html"))});
      await context.addCookies([{ name: "a", value: "b", url: page.url() }]);
      await page.evaluate("localStorage.setItem('a', 'b')");
    }`,
    );
    await define(
      "looks",
      `async run({ page, context }) {
      await page.goto(${JSON.stringify(site.url("/form.html"))});
      const stored = await page.evaluate("localStorage.length");
      return { cookies: (await context.cookies()).length, stored, pages: context.pages().length, names: Object.keys(process.env).sort() };
    }`,
    );
    succeeded(await automations.run({ target: "leaves", input: { who: [] } }));
    const { output_data: data } = succeeded(await automations.run({ target: "looks", input: { who: [] } }));
    expect(data).toEqual([{ cookies: 0, stored: 0, pages: 1, names: expect.arrayContaining(["HOME", "PATH"]) }]);
    const names = (data[0]?.names ?? []) as string[];
    expect(
      names.filter((name) => !/^(HOME|PATH|TMPDIR|FAIRLEAD_RUN|NODE_CHANNEL_FD|BUN_.*|PW.*|NODE_.*)$/.test(name)),
    ).toEqual([]);
  });

  test("is told the trace that it belongs to", async () => {
    await define("traced", "async run({ traceparent }) { return { traceparent }; }");
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const ran = await automations.run({ target: "traced", input: { who: [] }, traceparent });
    expect(succeeded(ran).output_data).toEqual([{ traceparent }]);
  });

  test("is loaded anew after the catalog was", async () => {
    await define("version", "async run() { return { version: 1 }; }");
    const first = await automations.run({ target: "version", input: { who: [] } });
    await define("version", "async run() { return { version: 2 }; }");
    const second = await automations.run({ target: "version", input: { who: [] } });
    expect([first, second].map((ran) => succeeded(ran).output_data)).toEqual([[{ version: 1 }], [{ version: 2 }]]);
  });

  test("refuses parameters that do not fit, and names what is wrong with a file", async () => {
    await define("fits", "async run() {}");
    expect(failureOf(await automations.run({ target: "fits" })).message).toBe("missing parameters: who");
    writeFileSync(join(automations.catalog.directory, "broken.ts"), "export default 1;");
    await automations.catalog.load();
    expect(failureOf(await automations.run({ target: "broken" })).message).toContain(
      'the automation "broken" cannot be used: broken.ts: the file must `export default',
    );
  });

  test("runs without a payload, whose files are then gone", async () => {
    const run = automations.runner.start(
      {
        jobId: "j",
        taskIndex: 0,
        runId: "r",
        attempt: 1,
        target: "",
        input: {},
        options: { automation: documentOf(site.url("/form.html"), []) },
        limits: {},
        timeoutMs: 60_000,
        directory: null,
        traceparent: null,
      },
      { log: () => undefined, output: () => undefined, progress: () => undefined },
    );
    expect((await run.done).outcome.kind).toBe("succeeded");
    expect(readdirSync(join(automations.directory, "work")).filter((name) => name.startsWith("task-"))).toEqual([]);
  });
});

describe.skipIf(!hasChromium)("the samples", () => {
  test("fill in the form that is shipped with them and return what they read", async () => {
    await samples.catalog.load();
    const input = { email: ["alice@example.com"], full_name: ["Alice Doe"] };
    const script = succeeded(await samples.run({ target: "sign-up", input }));
    expect(script.output_data).toEqual([
      { welcome: "Welcome, Alice Doe!", account_number: "A-879574", email: "alice@example.com", plan: "Team" },
    ]);
    const document = succeeded(await samples.run({ target: "sign-up-document", input }));
    expect(document.output_data).toEqual([{ welcome: "Welcome, Alice Doe!" }, { account_number: "A-879574" }]);
  });
});

describe.skipIf(!hasChromium)("two tasks at once", () => {
  test("have a browser each", async () => {
    const document = documentOf(site.url("/form.html"), [{ sleep_action: { sleep_time: 0.3 } }]);
    const both = await Promise.all([automations.run({ document }), automations.run({ document })]);
    for (const ran of both) succeeded(ran);
  });
});

/** Puts a file in the catalog of automations, with `who` as its parameter. */
async function define(name: string, run: string): Promise<void> {
  mkdirSync(automations.catalog.directory, { recursive: true });
  const text = `import { defineAutomation } from "fairlead/automations";\nexport default defineAutomation({ parameters: { who: ["Ann"] }, ${run} });\n`;
  writeFileSync(join(automations.catalog.directory, `${name}.ts`), text);
  await automations.catalog.load();
}

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { humanDoneFile } from "../../src/runners/automation/human-done-file.ts";
import {
  Automations,
  documentOf,
  extract,
  failureOf,
  hasChromium,
  interact,
  outputOf,
  stepsOf,
  succeeded,
  until,
} from "../support/pages/automate.ts";
import { startSite } from "../support/pages/site.ts";

setDefaultTimeout(60_000);

const site = startSite();
const automations = new Automations();
const tabs = site.url("/tabs.html");
const state = { extraction_action: { state: {} } };
const click = (command: string, fields: object = {}) => interact("click_element", { command, ...fields });

afterAll(async () => {
  await automations[Symbol.asyncDispose]();
  await site[Symbol.asyncDispose]();
});

describe.skipIf(!hasChromium)("tabs", () => {
  test("are opened, followed, switched, left and closed", async () => {
    const ran = await automations.run({
      document: documentOf(tabs, [
        { ...click('get_by_role("link", name="Second")'), expect_new_tab: true },
        state,
        interact("switch_tab", { tab_index: 0 }),
        state,
        interact("go_to_url", { url: site.url("/form.html"), new_tab: true }),
        interact("go_to_url", { url: site.url("/table.html") }),
        interact("go_back"),
        state,
        interact("scroll", { down: true, amount: -1 }),
        interact("close_current_tab"),
        interact("close_tabs_until", { matching_url: "/tabs.html" }),
        state,
        interact("close_current_tab"),
        click('get_by_role("link", name="Second")'),
        { sleep_action: { sleep_time: 0.5 } },
        state,
        interact("close_all_but_last_tab"),
        interact("close_tabs_until", { tab_index: 0 }),
        state,
      ]),
    });
    const titles = succeeded(ran).output_data.map(({ page_title: title }) => title);
    expect(titles).toEqual(["Second", "Tabs", "Form", "Tabs", "Second", "Second"]);
    const skipped = stepsOf(ran).filter(({ outcome }) => outcome === "skipped");
    expect(skipped.map(({ node, error }) => [node, error])).toEqual([[13, "it is the only tab"]]);
  });

  test("that are not there are reported", async () => {
    const missing = await automations.run({ document: documentOf(tabs, [interact("switch_tab", { tab_index: 4 })]) });
    expect(failureOf(missing).message).toBe("node 1, switch_tab 4: there is no tab 4: 1 are open");
    const unmatched = await automations.run({
      document: documentOf(tabs, [interact("close_tabs_until", { matching_url: "nowhere" })]),
    });
    expect(failureOf(unmatched).message).toContain("no open tab is the one to keep");
  });

  test("that open by the dozen are bounded, and dialogs are answered", async () => {
    const patient = { max_tries: 1, max_timeout_seconds_per_try: 30 };
    const { ran, logs, directory } = automations.start({
      document: documentOf(tabs, [
        click('locator("#dialogs")'),
        extract("log", 'locator("#log")'),
        interact("click_element", { command: 'locator("#popups")' }, patient),
        { human_in_loop_action: { max_wait_time: 50 } },
        interact("switch_tab", { tab_index: 0 }),
        state,
      ]),
    });
    await until(() => logs.some((line) => line.includes("more than 20 are open")), "a tab too many");
    writeFileSync(join(directory, "logs", humanDoneFile), "");
    expect(succeeded(await ran).output_data).toMatchObject([{ log: "true null" }, { page_title: "Tabs" }]);
    const text = logs.join("\n");
    expect(text).toContain("The page opened a dialog (alert): hello");
    expect(text).toContain("(confirm): sure?");
  });

  test("never open files of this machine", async () => {
    const url = [
      "file:///etc/passwd",
      "chrome://version",
      "view-source:http://127.0.0.1/",
      "javascript:alert(1)",
      "/sign-up.html",
      "no address",
    ];
    const nodes = [
      { variable_name: "url", on_error_in_loop: "continue", nodes: [interact("go_to_url", { url: "{url[index]}" })] },
    ];
    const document = documentOf("about:blank", nodes, { parameters: { input_parameters: { url: [] } } });
    const ran = await automations.run({ document, input: { url } });
    succeeded(ran);
    const errors = stepsOf(ran).flatMap(({ action, error }) => (action === "go_to_url" ? [error ?? "opened"] : []));
    expect(errors).toEqual([
      ...url.slice(0, 4).map((address) => `the address "${address}" cannot be opened: only http and https can`),
      "there are no pages beside the automations, so /sign-up.html cannot be opened",
      '"no address" is not an address: start it with http:// or https://',
    ]);
  });
});

describe.skipIf(!hasChromium)("downloads", () => {
  test("are kept under their names, asked for or not", async () => {
    const ran = await automations.run({
      document: documentOf(
        tabs,
        [
          click('get_by_text("Report")', { expect_download: true, download_filename: "../first report.csv" }),
          interact("select_option", {
            command: 'get_by_label("Export")',
            select_values: ["csv"],
            expect_download: true,
          }),
          click('get_by_text("Report")'),
          interact("download_url_as_pdf", { url: site.url("/report.pdf"), download_filename: "file.pdf" }),
          interact("download_url_as_pdf", { download_filename: "page.pdf" }),
        ],
        { expected_downloads: 5 },
      ),
    });
    expect(succeeded(ran).downloads.toSorted()).toEqual([
      "file.pdf",
      "first report.csv",
      "page.pdf",
      "report (1).csv",
      "report.csv",
    ]);
    const directory = join(ran.directory, "downloads");
    expect(readdirSync(directory)).toHaveLength(5);
    expect(readFileSync(join(directory, "first report.csv"), "utf8")).toBe("id,total\n1,2\n");
    expect(readFileSync(join(directory, "file.pdf"), "latin1")).toStartWith("%PDF-1.4\n1 0 obj");
    expect(readFileSync(join(directory, "page.pdf"), "latin1")).toStartWith("%PDF-");
  });

  test("that never end are cut off at the limit of a file", async () => {
    const ran = await automations.run({
      limits: { fileMb: 8 },
      document: documentOf(tabs, [click('get_by_text("Endless")', { expect_download: true })]),
    });
    expect(failureOf(ran)).toEqual({
      code: "file_limit",
      message: 'node 1, click_element get_by_text("Endless"): a download is larger than 8 MiB',
    });
    expect(readdirSync(join(ran.directory, "downloads"))).toEqual([]);
  });

  test("that break off fail the step that wanted them", async () => {
    const ran = await automations.run({
      document: documentOf(tabs, [click('get_by_text("Broken")', { expect_download: true })]),
    });
    expect(failureOf(ran).message).toStartWith(
      'node 1, click_element get_by_text("Broken"): the download of broken.bin failed',
    );
    const missing = await automations.run({
      document: documentOf(tabs, [interact("download_url_as_pdf", { url: site.url("/missing.pdf") })]),
    });
    expect(failureOf(missing).message).toContain("answered 404");
  });
});

describe.skipIf(!hasChromium)("extraction", () => {
  test("reads text, network calls, APIs and screenshots", async () => {
    const fetched = click('get_by_role("button", name="Fetch")');
    const api = (fields: object) => ({ extraction_action: { api_call: fields } });
    const ran = await automations.run({
      input: { kind: ["special"] },
      document: documentOf(
        tabs,
        [
          fetched,
          { sleep_action: { sleep_time: 0.3 } },
          { assertion_action: { network_call: { url_pattern: "/api/items", header_filter: { "X-Kind": "test" } } } },
          {
            extraction_action: {
              network_call: { url_pattern: "/api/items", download_from: "response", download_filename: "items.json" },
              unique_identifier: "items",
            },
          },
          {
            extraction_action: {
              network_call: {
                url_pattern: "/api/items",
                extract_from: "request",
                download_from: "request",
                download_filename: "again.json",
              },
            },
          },
          api({
            url: site.url("/api/echo"),
            method: "POST",
            headers: { "x-kind": "{kind[0]}" },
            body: { a: ["{kind[0]}"] },
            query_params: { q: "a b" },
            output_variable_names: ["echo"],
          }),
          api({
            url: site.url("/api/poll"),
            poll_condition: "body.status == 'completed' and status_code == 200",
            poll_interval: 0.05,
            output_variable_names: ["poll"],
          }),
          api({ url: "http://127.0.0.1:9/", output_variable_names: ["nobody"], timeout: 2 }),
          interact("go_to_url", { url: "{echo.body.url}" }),
          { extraction_action: { screenshot: { filename: "proof", full_page: false } } },
          {
            extraction_action: {
              locator: {
                command: 'locator("#nope")',
                output_variable_name: "nope",
                extraction_format: { nope: "str" },
              },
              allow_none: true,
            },
          },
        ],
        { parameters: { input_parameters: { kind: [] } } },
      ),
    });
    const { output_data: data, downloads, screenshots } = succeeded(ran);
    expect(data[0]).toEqual({ unique_identifier: "items", body: { items: [1, 2], sent: '{"q":"x"}' } });
    expect(data[1]).toEqual({ body: { q: "x" } });
    expect(data[2]).toMatchObject({
      echo: {
        status_code: 201,
        body: { method: "POST", kind: "special", body: '{"a":["special"]}', url: site.url("/api/echo?q=a+b") },
      },
    });
    expect(data[3]).toMatchObject({ poll: { body: { status: "completed", polls: 3 } } });
    expect(data[4]).toEqual({ nobody: { status_code: null, headers: {}, body: null, error: "http_error" } });
    expect(data.slice(5)).toEqual([{ screenshot: "screenshots/proof.png" }, { nope: null }]);
    expect(downloads).toEqual(["items.json", "again.json"]);
    expect(screenshots).toEqual(["proof.png"]);
    expect(JSON.parse(readFileSync(join(ran.directory, "downloads", "items.json"), "utf8"))).toMatchObject({
      items: [1, 2],
    });
    expect(readFileSync(join(ran.directory, "screenshots", "proof.png")).readUInt32BE(20)).toBe(720);
  });

  test("fails where nothing is found and that is not allowed", async () => {
    const goOn = (node: object) => ({ variable_name: "once", on_error_in_loop: "continue", nodes: [node] });
    const nodes = [
      goOn({ assertion_action: { network_call: { url_pattern: "/api/none" } } }),
      goOn({ extraction_action: { api_call: { url: "file:///etc/passwd" } } }),
      { extraction_action: { api_call: { url: site.url("/endless.bin") } } },
    ];
    const document = documentOf(tabs, nodes, { parameters: { input_parameters: { once: [] } } });
    const ran = await automations.run({ document, input: { once: [1] } });
    expect(failureOf(ran)).toEqual({
      code: "file_limit",
      message: expect.stringContaining("is larger than 5242880 bytes"),
    });
    const errors = stepsOf(ran).flatMap(({ error }) => error ?? []);
    expect(errors[0]).toBe("no call since the last interaction matches /api/none");
    expect(errors[1]).toBe('"file:///etc/passwd" is not an http or https address');
  });

  test("stops where the output grows too large", async () => {
    const ran = await automations.run({ limits: { outputMb: 0 }, document: documentOf(tabs, [state]) });
    expect(failureOf(ran)).toMatchObject({ code: "output_limit" });
    expect(outputOf(ran).output_data).toEqual([]);
  });
});

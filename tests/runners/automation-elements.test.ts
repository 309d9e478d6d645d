import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  Automations,
  documentOf,
  extract,
  failureOf,
  hasChromium,
  hurried,
  interact,
  stepsOf,
  succeeded,
} from "../support/pages/automate.ts";
import { startSite } from "../support/pages/site.ts";

setDefaultTimeout(60_000);

const site = startSite();
const automations = new Automations();
const form = site.url("/form.html");
const readLog = extract("log", 'locator("#log")', { allow_none: true });

afterAll(async () => {
  await automations[Symbol.asyncDispose]();
  await site[Symbol.asyncDispose]();
});

describe.skipIf(!hasChromium)("element actions", () => {
  test("click, double-click, use other buttons, and reach what is below", async () => {
    const button = { command: 'get_by_role("button", name="Click me")' };
    const log = await logAfter([
      interact("click_element", button),
      interact("click_element", { ...button, button: "right" }),
      interact("click_element", { ...button, double_click: true }),
      interact("click_element", { command: 'locator("#below")' }),
      interact("click_element", { xpath: "//button[@id='click']", mouse_click: true }),
      interact("click_element", { command: 'locator("#click")', force: true }),
    ]);
    const expected = ["click", "contextmenu", "auxclick", "click", "click", "dblclick", "below", "click", "click"];
    expect(log.toSorted()).toEqual(expected.toSorted());
  });

  test("fill, type, press, click before and Enter after", async () => {
    const name = { command: 'get_by_label("Name")' };
    const ran = await automations.run({
      input: { who: ['Ann "A" O\'Neill'], nothing: [] },
      document: documentOf(
        form,
        [
          interact("input_text", { ...name, input_text: "{who[0]}" }),
          extract("filled", 'locator("#name")', { allow_none: true }),
          interact("input_text", {
            command: 'get_by_label("Notes")',
            input_text: "ab",
            fill_or_type: "type",
            click_before_input: true,
          }),
          interact("input_text", { ...name, input_text: "xy", fill_or_type: "key_press", press_enter: true }),
          interact("input_text", { ...name, input_text: "{nothing[0]}" }),
          interact("key_press", { type: ["Ctrl", "a"] }),
          interact("key_press", { type: "Delete" }),
          readLog,
        ],
        { parameters: { input_parameters: { who: [], nothing: [] } } },
      ),
    });
    const { output_data: data } = succeeded(ran);
    expect(String(data[1]?.log).split("\n")).toEqual([
      "key x",
      "key y",
      "key Enter",
      "key Control",
      "key a",
      "key Delete",
    ]);
    expect(stepsOf(ran)[5]).toMatchObject({ node: 5, outcome: "skipped", error: "there is no value for {nothing[0]}" });
  });

  test("choose, check, uncheck, hover and slide", async () => {
    const log = await logAfter([
      interact("select_option", { command: 'get_by_label("Country")', select_values: ["United States"] }),
      interact("select_option", { command: 'get_by_label("Country")', select_values: ["de"] }),
      interact("select_option", { command: 'get_by_label("Colours")', select_values: ["red", "BLUE"] }),
      interact("check", { command: 'get_by_label("I agree")' }),
      interact("uncheck", { command: 'get_by_label("Newsletter")' }),
      interact("hover", { command: 'locator("#menu")' }),
      extract("hovered", 'get_by_text("Hidden item")'),
      interact("input_text", { command: 'get_by_label("Volume")', input_text: "55", is_slider: true }),
      interact("input_text", { command: 'get_by_role("slider", name="Knob")', input_text: "5", is_slider: true }),
      { ...interact("hover", { command: 'locator("[aria-valuenow=\\"5\\"]")' }) },
    ]);
    expect(log).toEqual(["country us", "country de", "colours red,blue", "agree true", "news false", "volume 55"]);
  });

  test("upload files of the payload or an address, and nothing from elsewhere", async () => {
    const upload = (fields: object) => interact("upload_file", { command: 'locator("#file")', ...fields });
    mkdirSync(automations.nextDirectory, { recursive: true });
    writeFileSync(join(automations.nextDirectory, "letter.txt"), "dear");
    const sent = (text: string) => extract("sent", `locator("#log").filter(has_text="${text}")`);
    const sending = [
      upload({ file_path: "letter.txt" }),
      sent("letter.txt dear"),
      upload({ file_url: site.url("/report.csv") }),
      sent("id,total"),
    ];
    const uploaded = succeeded(await automations.run({ document: documentOf(form, sending) }));
    expect(uploaded.output_data.at(-1)?.sent).toStartWith("file letter.txt dear\nfile report.csv id,total");

    mkdirSync(automations.nextDirectory, { recursive: true });
    symlinkSync("/etc/passwd", join(automations.nextDirectory, "link.txt"));
    const path = ["/etc/passwd", "link.txt", "../../../../../../etc/passwd", "nowhere.txt"];
    const nodes = [
      { variable_name: "path", on_error_in_loop: "continue", nodes: [upload({ file_path: "{path[index]}" })] },
      upload({ file_url: site.url("/missing.pdf") }),
    ];
    const document = documentOf(form, nodes, { parameters: { input_parameters: { path: [] } } });
    const refused = await automations.run({ document, input: { path } });
    expect(failureOf(refused).message).toContain("answered 404");
    const errors = stepsOf(refused).flatMap(({ action, error }) => (action === "upload_file" ? [error ?? "sent"] : []));
    expect(
      errors.slice(0, 4).filter((error) => error.includes("cannot be uploaded: it must be a file of the payload")),
    ).toHaveLength(4);
  });

  test("wait for an element that comes later, and for the tries they have", async () => {
    const ran = await automations.run({
      document: documentOf(form, [
        interact("click_element", { command: 'get_by_role("button", name="Open later")' }),
        interact("hover", { command: 'locator("#late")' }, { max_tries: 20, max_timeout_seconds_per_try: 0.5 }),
      ]),
    });
    succeeded(ran);
  });

  test("fail with the node's number and command when the element is not there", async () => {
    const tries = { max_tries: 2, max_timeout_seconds_per_try: 0.2 };
    const once = { max_tries: 1, max_timeout_seconds_per_try: 20 };
    const missing = await automations.run({
      document: documentOf(form, [
        readLog,
        interact("click_element", { command: 'get_by_role("button", name="Nope")' }, tries),
      ]),
    });
    expect(failureOf(missing)).toMatchObject({ code: "automation_error" });
    expect(failureOf(missing).message).toStartWith('node 2, click_element get_by_role("button", name="Nope"): ');
    expect(failureOf(missing).message).toContain("Timeout 200ms exceeded");
    expect(existsSync(join(missing.directory, "final_screenshot.png"))).toBe(true);
    expect(stepsOf(missing).at(-1)).toMatchObject({
      node: 2,
      outcome: "failed",
      url: form,
      title: "Form",
      screenshot: "step_0003.jpg",
    });

    const ambiguous = await automations.run({
      document: documentOf(form, [interact("click_element", { command: 'get_by_text("Twin")' }, once)]),
    });
    expect(failureOf(ambiguous).message).toContain("resolved to 2 elements");

    const option = await automations.run({
      document: documentOf(form, [
        interact("select_option", { command: 'get_by_label("Country")', select_values: ["Mars"] }, once),
      ]),
    });
    expect(failureOf(option).message).toContain('there is no option "Mars"; there are "Germany"');

    const unreadable = await automations.run({
      document: documentOf(form, [interact("hover", { command: 'locator("a").evaluate("1")' })]),
    });
    expect(failureOf(unreadable).message).toContain(
      'the locator cannot be read: "evaluate" is not a locator method at character 14',
    );
    expect(unreadable.logs.join("\n")).toContain('warn node 1 (action_node), hover: "evaluate"');
  });

  test("skip what is optional, and refuse what only a language model could find", async () => {
    const tries = { max_tries: 1, max_timeout_seconds_per_try: 0.1 };
    const optional = { command: 'locator("#nope")', skip_prompt: true, prompt_instructions: "Close the banner" };
    const ran = await automations.run({
      document: documentOf(form, [
        interact("click_element", optional, tries),
        interact("hover", { prompt_instructions: "x", skip_prompt: true }),
      ]),
    });
    succeeded(ran);
    expect(
      stepsOf(ran)
        .slice(1)
        .map(({ outcome }) => outcome),
    ).toEqual(["skipped", "skipped"]);

    const wanted = await automations.run({
      document: documentOf(form, [interact("click_element", { ...optional, assert_locator_presence: true }, tries)]),
    });
    expect(failureOf(wanted).message).toStartWith('node 1, click_element locator("#nope")');

    const described = await automations.run({
      document: documentOf(form, [interact("click_element", { prompt_instructions: "Press the big one" })]),
    });
    expect(failureOf(described).message).toContain(
      "only described in words (prompt_instructions), and that needs a language model",
    );
  });

  test("pause as the document says", async () => {
    const button = interact("click_element", { command: 'locator("#click")' });
    const nodes = [{ ...button, before_sleep_time: 0.4, end_sleep_time: 0.4 }, hurried(button)];
    const ran = await automations.run({ document: { ...documentOf(form, []), nodes } });
    succeeded(ran);
    const [, first, second] = stepsOf(ran).map((step) => Date.parse(step.started_at));
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(400);
  });
});

async function logAfter(nodes: object[]): Promise<string[]> {
  const ran = await automations.run({ document: documentOf(form, [...nodes, readLog]) });
  return String(succeeded(ran).output_data.at(-1)?.log).split("\n");
}

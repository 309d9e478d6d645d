import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  Automations,
  documentOf,
  failureOf,
  hasChromium,
  interact,
  stepsOf,
  succeeded,
} from "../support/pages/automate.ts";
import { startSite } from "../support/pages/site.ts";

setDefaultTimeout(60_000);

const site = startSite();
const form = site.url("/form.html");
afterAll(() => site[Symbol.asyncDispose]());

const noInteraction = {
  ...{ click_element: null, input_text: null, select_option: null, check: null, uncheck: null, hover: null },
  ...{ upload_file: null, key_press: null, scroll: null, go_to_url: null, go_back: null, switch_tab: null },
  ...{ close_current_tab: null, close_all_but_last_tab: null, close_tabs_until: null, download_url_as_pdf: null },
  ...{ agentic_task: null, close_overlay_popup: null, max_tries: 10, max_timeout_seconds_per_try: 1.0 },
};
const noAction = {
  ...{ interaction_action: null, extraction_action: null, assertion_action: null, misc_action: null },
  ...{ sleep_action: null, fail_state_action: null, human_in_loop_action: null, python_script_action: null },
  ...{ powershell_action: null, captcha_action: null, expect_new_tab: false, end_sleep_time: 0 },
};
const element = {
  ...{ command: null, xpath: null, prompt_instructions: "", skip_command: false, skip_prompt: false },
  ...{ assert_locator_presence: false },
};

/** A document as pydantic writes it: every field is there, null where it is not used. */
const dumped = {
  url: form,
  parameters: { input_parameters: { who: ["Ann"] }, secure_parameters: {}, generated_parameters: {} },
  ...{ max_retries: 0, expected_downloads: 0, take_final_screenshot: true, browser_channel: "chrome" },
  ...{ backend: "browser-use", allow_cookies: false, os_emulation: null, remember: { nobody: "knows this" } },
  ...{ automation_description: null, automation_endpoint: "stub", post_processing_nodes: [] },
  nodes: [
    {
      ...noAction,
      type: "action_node",
      before_sleep_time: 0,
      interaction_action: {
        ...noInteraction,
        input_text: {
          ...{ ...element, command: 'locator("#name")', input_text: "{who[0]}", fill_or_type: "fill" },
          ...{ press_enter: false, click_before_input: false, is_slider: false },
        },
      },
    },
    {
      type: "if_else_node",
      condition: "{who[0]} == 'Ann'",
      if_nodes: [
        {
          ...noAction,
          type: "action_node",
          before_sleep_time: 0,
          extraction_action: {
            ...{ locator: null, network_call: null, api_call: null, screenshot: null, state: {}, llm: null, pdf: null },
            ...{ python_script: null, vision: null, ocr_coordinates: null, two_fa_action: null },
            ...{ unique_identifier: null, allow_none: false },
          },
        },
      ],
      else_nodes: [],
    },
  ],
};

test.skipIf(!hasChromium)("a document with every field spelled out runs as one without", async () => {
  await using automations = new Automations();
  const ran = await automations.run({ document: dumped, input: { who: ["Ann"] } });
  const { output_data: data, final_screenshot: last } = succeeded(ran);
  expect(JSON.stringify(data)).toContain(form);
  expect(last).toBe("final_screenshot.png");
  expect(stepsOf(ran).map(({ action }) => action)).toEqual(["open", "input_text", "if", "extract state"]);
});

test.skipIf(!hasChromium)("a command that is to be skipped is not used", async () => {
  await using automations = new Automations();
  const skipped = interact("check", { command: 'locator("#agree")', skip_command: true, skip_prompt: true });
  const needed = interact("check", {
    command: 'locator("#agree")',
    skip_command: true,
    prompt_instructions: "Agree",
  });
  const ran = await automations.run({ document: documentOf(form, [skipped, needed]) });
  expect(failureOf(ran).message).toContain("only described in words (prompt_instructions)");
  expect(stepsOf(ran).map(({ outcome }) => outcome)).toEqual(["ok", "skipped", "failed"]);
});

test.skipIf(!hasChromium).each([
  ["firefox", { browser_channel: "firefox" }, [], 'the browser "firefox"'],
  [
    "a pop-up that only a model can close",
    {},
    [interact("close_overlay_popup", {})],
    "close_overlay_popup: this cannot be run here: it needs a language model",
  ],
  ["a captcha", {}, [{ captcha_action: {} }], "captcha_action: this cannot be run here: it needs a service"],
  ["a script", {}, [{ python_script_action: { execution_code: "1" } }], "scripts of a document are never run"],
] as [string, object, object[], string][])("%s fails with what it would need", async (_what, more, nodes, says) => {
  await using automations = new Automations();
  const ran = await automations.run({ document: { ...documentOf(form, nodes), ...more } });
  expect(failureOf(ran).message).toContain(says);
});

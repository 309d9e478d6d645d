import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
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
} from "../support/pages/automate.ts";
import { startSite } from "../support/pages/site.ts";

setDefaultTimeout(60_000);

const site = startSite();
const automations = new Automations();
const [form, table] = [site.url("/form.html"), site.url("/table.html")];
const quick = { max_tries: 2, max_timeout_seconds_per_try: 0.2 };
const setVariable = (name: string, fields: object) => ({ misc_action: { set_variable: { name, ...fields } } });

afterAll(async () => {
  await automations[Symbol.asyncDispose]();
  await site[Symbol.asyncDispose]();
});

describe.skipIf(!hasChromium)("a document", () => {
  test("without nodes opens its page, takes the final screenshot and succeeds", async () => {
    const ran = await automations.run({ document: documentOf(form, []) });
    expect(succeeded(ran)).toEqual({
      output_data: [],
      final_screenshot: "final_screenshot.png",
      downloads: [],
      screenshots: [],
      steps: 1,
    });
    const picture = readFileSync(join(ran.directory, "final_screenshot.png"));
    expect(picture.subarray(1, 4).toString()).toBe("PNG");
    // The page is 3,000 pixels high and more: it is the whole page, not what is in view.
    expect(picture.readUInt32BE(20)).toBeGreaterThan(3_000);
    expect(stepsOf(ran)).toMatchObject([
      { index: 1, node: 0, action: "open", command: form, outcome: "ok", title: "Form", screenshot: "step_0001.jpg" },
    ]);
    expect(readFileSync(join(ran.directory, "logs", "optexity.log"), "utf8")).toContain("INFO start page, open");
    expect(existsSync(join(ran.directory, "downloads"))).toBe(true);
  });

  test("takes no final screenshot when it is told not to", async () => {
    const ran = await automations.run({ document: documentOf(form, [], { take_final_screenshot: false }) });
    expect(succeeded(ran).final_screenshot).toBeNull();
    expect(existsSync(join(ran.directory, "final_screenshot.png"))).toBe(false);
  });

  test("loops over lists in parallel, nested, bounded, with reset nodes, and goes on after errors", async () => {
    const note = (text: string) => interact("input_text", { command: 'locator("#notes")', input_text: text });
    const ran = await automations.run({
      input: { name: ["Ann", "Bob", "Cy"], age: [41, 42, 43], empty: [] },
      document: documentOf(
        form,
        [
          setVariable("trace", { value: "" }),
          {
            variable_name: "name, age",
            max_iterations: 2,
            index_variable_name: "i",
            nodes: [
              {
                variable_name: "age",
                index_variable_name: "j",
                nodes: [
                  {
                    condition: "{j} == {i}",
                    if_nodes: [setVariable("trace", { expression: "'{trace[0]} {i}{j}:{name[i]}={age[j]}'" })],
                  },
                ],
              },
            ],
            reset_nodes: [setVariable("trace", { expression: "trace[0] + ' /{index_of(name)}'" })],
          },
          { variable_name: "empty", nodes: [{ fail_state_action: {} }] },
          {
            variable_name: "name",
            on_error_in_loop: "continue",
            nodes: [
              {
                condition: "name[{index}] == 'Bob'",
                if_nodes: [{ fail_state_action: { failure_message: "not Bob" } }],
              },
              setVariable("last", { value: "{name[index]}" }),
            ],
            reset_nodes: [setVariable("resets", { expression: "'{resets[0]}' + '+'" })],
          },
          {
            variable_name: "name",
            on_error_in_loop: "break",
            nodes: [setVariable("broke_at", { value: "{name[index]}" }), { fail_state_action: {} }],
          },
          note("{trace[0]} {last[0]} {resets[0]} {broke_at[0]}"),
          setVariable("sum", { expression: "{age[0]} + len(name) * 2", output_variable_name: "sum" }),
          setVariable("all", {
            expression: "trace[0] + ' ' + last[0] + ' ' + resets[0] + ' ' + broke_at[0]",
            output_variable_name: "all",
          }),
        ],
        {
          parameters: {
            input_parameters: { name: [], age: [], empty: [] },
            generated_parameters: { resets: [""], trace: [] },
          },
        },
      ),
    });
    expect(succeeded(ran).output_data).toEqual([{ sum: 47 }, { all: " 00:Ann=41 /0 11:Bob=42 /1 Cy +++ Ann" }]);
    expect(ran.fractions.at(-1)).toBe(1);
    expect(ran.logs.join("\n")).toContain("only 2 of 3");
  });

  test("loops over matches, counts them, asserts and looks into frames", async () => {
    const ran = await automations.run({
      document: documentOf(table, [
        {
          misc_action: {
            count_locator: { locator: 'locator("tbody tr")', name: "rows", output_variable_name: "rows" },
          },
        },
        {
          locator: 'locator("tbody tr")',
          index_variable_name: "row",
          locator_timeout: 0,
          nodes: [
            extract("name_{row}", '{locator[row]}.locator("td").first'),
            {
              locator: '{locator[row]}.locator("td")',
              index_variable_name: "cell",
              locator_timeout: 0,
              max_iterations: 2,
              nodes: [extract("cell_{row}_{cell}", "{locator[cell]}")],
            },
            interact("click_element", { command: '{locator[row]}.get_by_role("button")' }),
          ],
        },
        { locator: 'get_by_text("Nowhere")', nodes: [{ fail_state_action: {} }], locator_timeout: 0 },
        { locator: 'get_by_text("Nowhere")', assertion: "to_be_visible", timeout: 0.1 },
        { locator: 'get_by_text("Nowhere")', assertion: "to_be_hidden", timeout: 20, output_variable_name: "hidden" },
        { condition: "not {node9_output[0]} and {hidden[0]}", if_nodes: [extract("picked", 'locator("#picked")')] },
        interact("input_text", {
          command: 'frame_locator("iframe").get_by_placeholder("Inner field")',
          input_text: "from outside",
        }),
        extract("inside", 'locator("iframe").content_frame.locator("p")'),
      ]),
    });
    const data = Object.assign({}, ...succeeded(ran).output_data);
    expect(data).toMatchObject({
      rows: 3,
      name_0: "Ann",
      name_2: "Cy",
      cell_0_0: "Ann",
      cell_1_1: "42",
      picked: "Ann Bob Cy",
      inside: "from outside",
    });
  });

  test("fails at a condition that cannot be computed, with its node", async () => {
    const ran = await automations.run({ document: documentOf(form, [{ condition: "nobody[0] == 1", if_nodes: [] }]) });
    expect(failureOf(ran).message).toBe('node 1, if nobody[0] == 1: there is no variable "nobody" (at character 1)');
  });

  test("fails at nodes that need more than a browser, and names them", async () => {
    const model = await automations.run({
      document: documentOf(form, [{ interaction_action: { agentic_task: { task: "x" } } }]),
    });
    expect(failureOf(model).message).toBe("node 1, agentic_task: this cannot be run here: it needs a language model");
    const plugin = await automations.run({
      document: documentOf(form, [{ type: "private_node", handler: "acme.login" }]),
    });
    expect(failureOf(plugin).message).toContain('the handler "acme.login" is a plugin of the closed product');
    const secret = await automations.run({
      document: documentOf(form, [interact("input_text", { command: 'locator("#name")', input_text: "{pass[0]}" })], {
        parameters: {
          secure_parameters: { pass: [{ onepassword: { vault_name: "v", item_name: "i", field_name: "f" } }] },
        },
      }),
    });
    expect(failureOf(secret).message).toContain('the secure parameter "pass" is kept in 1Password');
  });

  test("keeps one-time codes out of everything it writes", async () => {
    const ran = await automations.run({
      document: documentOf(
        form,
        [
          interact("input_text", { command: 'locator("#name")', input_text: "{code[0]}" }),
          interact("hover", { command: 'get_by_text("{code[0]}")' }, quick),
        ],
        {
          parameters: { secure_parameters: { code: [{ totp: { totp_secret: "GEZDGNBVGY3TQOJQ", digits: 10 } }] } },
        },
      ),
    });
    const written = [
      failureOf(ran).message,
      ...ran.logs,
      readFileSync(join(ran.directory, "trajectory", "steps.json"), "utf8"),
    ].join("\n");
    expect(written).toContain("***");
    expect(written).not.toMatch(/\d{10}/);
  });

  test("runs its post-processing after a failure as well", async () => {
    const post_processing_nodes = [
      { before_sleep_time: 0, extraction_action: { state: {}, unique_identifier: "end" } },
    ];
    const ran = await automations.run({
      document: documentOf(form, [{ fail_state_action: { failure_message: "stop here" } }], { post_processing_nodes }),
    });
    expect(failureOf(ran).message).toBe("node 1, fail_state_action: stop here");
    expect(outputOf(ran)).toMatchObject({
      output_data: [{ unique_identifier: "end", page_url: form, page_title: "Form" }],
      final_screenshot: "final_screenshot.png",
    });
  });

  test("waits for a human, and not for ever", async () => {
    const nodes = [{ human_in_loop_action: { max_wait_time: 30 } }];
    mkdirSync(join(automations.nextDirectory, "logs"), { recursive: true });
    writeFileSync(join(automations.nextDirectory, "logs", humanDoneFile), "");
    succeeded(await automations.run({ document: documentOf(form, nodes) }));
    const late = await automations.run({
      document: documentOf(form, [{ human_in_loop_action: { max_wait_time: 0.2 } }]),
    });
    expect(failureOf(late).message).toContain("no human was done within 0.2 s");
  });

  test("takes its variables from the task, with the reserved ones", async () => {
    const ran = await automations.run({
      options: { task: { task_id: "task-7" } },
      document: documentOf(form, [
        setVariable("seen", {
          expression: "'{task_id[0]} {current_page_url[0]} ' + str(int('{current_time[0]}') > 1000000000)",
          output_variable_name: "seen",
        }),
      ]),
    });
    expect(succeeded(ran).output_data).toEqual([{ seen: `task-7 ${form} True` }]);
  });
});

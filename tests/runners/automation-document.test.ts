import { describe, expect, test } from "bun:test";
import { AutomationDocumentError, readDocument } from "../../src/runners/automation/document.ts";
import type { ActionNode, AutomationNode } from "../../src/runners/automation/document-model.ts";
import { inputProblems, secureProblems } from "../../src/runners/automation/parameters.ts";

const click = { interaction_action: { click_element: { command: 'get_by_role("button")' } } };

describe("an automation document", () => {
  test("gets the documented defaults", () => {
    const { document } = readDocument({ url: "http://a.test", parameters: null, nodes: [] });
    expect(document).toEqual({
      url: "http://a.test",
      parameters: { input: {}, secure: {}, generated: {} },
      nodes: [],
      postProcessingNodes: [],
      maxRetries: 0,
      expectedDownloads: 0,
      takeFinalScreenshot: true,
      browserChannel: "chromium",
    });
    const [acting, extracting, asserting] = actionNodes([
      click,
      { extraction_action: { state: {} } },
      { assertion_action: { network_call: { url_pattern: "x" } } },
    ]);
    expect([acting?.beforeSleepS, acting?.endSleepS]).toEqual([0, 5]);
    expect([extracting?.beforeSleepS, extracting?.endSleepS]).toEqual([3, 0]);
    expect([asserting?.beforeSleepS, asserting?.endSleepS]).toEqual([0, 0]);
    expect(acting?.action).toMatchObject({
      element: { tries: { max: 10, perTryS: 1 }, name: "click_element", button: "left" },
    });
  });

  test("tells nodes of the old form apart by their fields", () => {
    const nodes = [
      { condition: "True", if_nodes: [click] },
      { variable_name: "a, b", nodes: [click], reset_nodes: [click] },
      { locator: 'locator("a")', assertion: "to_be_hidden" },
      { locator: 'locator("a")', nodes: [] },
      click,
    ];
    expect(read(nodes).map(({ type }) => type)).toEqual([
      "if_else_node",
      "for_loop_node",
      "assert_locator_node",
      "for_loop_node",
      "action_node",
    ]);
  });

  test("numbers nodes in its order, bodies after what holds them, post-processing last", () => {
    const { document } = readDocument({
      url: "http://a.test",
      nodes: [
        {
          condition: "True",
          if_nodes: [click],
          else_nodes: [{ variable_name: "a", nodes: [click], reset_nodes: [click] }],
        },
        click,
      ],
      post_processing_nodes: [click],
    });
    expect(numbers(document.nodes)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(numbers(document.postProcessingNodes)).toEqual([7]);
  });

  test("names what is stored without a name after its node", () => {
    const [, extracting, asserting] = read([
      click,
      { extraction_action: { locator: { command: 'locator("a")', extraction_format: { anything: "str" } } } },
      { locator: 'locator("a")', assertion: "to_be_visible" },
    ]);
    expect((extracting as ActionNode).action).toMatchObject({ extraction: { outputName: "node2_output" } });
    expect(asserting).toMatchObject({ outputName: "node3_output" });
  });

  test("ignores unknown fields and takes null for not given", () => {
    const [node] = actionNodes([
      {
        ...click,
        type: "action_node",
        extraction_action: null,
        misc_action: null,
        end_sleep_time: null,
        localized_axtree_string: "…",
        interaction_action: { ...click.interaction_action, input_text: null, max_tries: null, start_2fa_timer: false },
      },
    ]);
    expect(node?.endSleepS).toBe(5);
  });

  test("accepts what needs a language model, and says what it needs", () => {
    const nodes = actionNodes([
      { interaction_action: { agentic_task: { task: "t", max_steps: 3, backend: "browser_use" } } },
      { extraction_action: { llm: { extraction_format: {}, extraction_instructions: "x" } } },
      { assertion_action: { llm: {} } },
      { misc_action: { llm_query: {} } },
      { captcha_action: {} },
      { python_script_action: { execution_code: "async def code_fn(page): pass" } },
    ]);
    const needs = nodes.map(({ action }) =>
      action.kind === "other" && action.other.name === "unsupported" ? action.other.needs : "",
    );
    expect(needs.every((need) => need !== "")).toBe(true);
    expect(needs[0]).toBe("a language model");
    expect(read([{ type: "private_node", handler: "acme.login", inputs: {} }])).toMatchObject([
      { handler: "acme.login" },
    ]);
  });

  test.each<[string, object, string]>([
    [
      "two actions",
      { ...click, sleep_action: { sleep_time: 1 } },
      "node 1 (action_node): exactly one of interaction_action",
    ],
    ["no action", { type: "action_node" }, "must be given, none is"],
    ["two interactions", { interaction_action: { go_back: {}, hover: {} } }, "hover and go_back are"],
    ["an unknown type", { type: "magic_node" }, 'node 1 (magic_node): "type" is unknown'],
    ["no node", 3 as unknown as object, "node 1: must be an object"],
    ["a wrong number", { ...click, end_sleep_time: 31 }, '"end_sleep_time" must be a number from 0 to 30, not 31'],
    [
      "a wrong text",
      { interaction_action: { go_to_url: { url: 5 } } },
      'node 1 (action_node), interaction_action, go_to_url: "url" must be a text, not 5',
    ],
    [
      "a wrong list",
      { interaction_action: { select_option: { command: 'locator("a")', select_values: "x" } } },
      '"select_values" must be a list of texts',
    ],
    [
      "command and xpath",
      { interaction_action: { hover: { command: 'locator("a")', xpath: "//a" } } },
      '"xpath" must not be given together with command',
    ],
    [
      "path and url",
      { interaction_action: { upload_file: { file_path: "a", file_url: "b" } } },
      "file_path and file_url are",
    ],
    [
      "value and expression",
      { misc_action: { set_variable: { name: "a", value: 1, expression: "2" } } },
      "value and expression are",
    ],
    [
      "a format without the name",
      {
        extraction_action: {
          locator: { command: 'locator("a")', output_variable_name: "a", extraction_format: { b: "str" } },
        },
      },
      '"output_variable_name" "a" is not in extraction_format',
    ],
    [
      "a loop over both",
      { type: "for_loop_node", variable_name: "a", locator: 'locator("a")', nodes: [] },
      '"variable_name" or locator must be given, and not both',
    ],
    [
      "a reserved index",
      { type: "for_loop_node", variable_name: "a", index_variable_name: "a", nodes: [] },
      '"index_variable_name" must not be "a"',
    ],
    ["a long wait", { human_in_loop_action: { max_wait_time: 601 } }, "must be a number from 0.001 to 600, not 601"],
    [
      "a wrong assertion",
      { locator: 'locator("a")', assertion: "to_be_blue" },
      "must be one of to_be_visible, to_be_hidden",
    ],
    [
      "a new tab of an extraction",
      { extraction_action: { state: {} }, expect_new_tab: true },
      "only allowed for interaction actions",
    ],
  ])("with %s is refused with its node and field", (_what, node, problem) => {
    expect(() => read([node])).toThrow(problem);
  });

  test("is refused with every problem at once", () => {
    const parameters = {
      input_parameters: { "a b": ["x"], task_id: ["x"], c: "x", d: [null] },
      secure_parameters: { e: [{}] },
    };
    try {
      readDocument({ url: 3, nodes: [{ type: "x" }, {}], parameters, expected_downloads: 1.5 });
      expect.unreachable();
    } catch (fault) {
      const problems = (fault as AutomationDocumentError).problems.join("\n");
      expect(fault).toBeInstanceOf(AutomationDocumentError);
      for (const part of [
        '"url"',
        "node 1",
        "node 2",
        '"a b" is not a name',
        '"task_id" is reserved',
        '"c" must be a list',
        '"d" has a value',
        '"e" has a value',
        "expected_downloads",
      ]) {
        expect(problems).toContain(part);
      }
    }
  });

  test("is bounded in size and depth", () => {
    let deep: object = click;
    for (let level = 0; level < 30; level += 1) deep = { condition: "True", if_nodes: [deep] };
    expect(() => read([deep])).toThrow("nested deeper than 20");
    expect(() => read(Array.from({ length: 5_001 }, () => click))).toThrow("more than 5000 nodes");
    expect(() => readDocument([])).toThrow("must be a JSON object");
  });

  test("warns of commands and conditions that cannot be read", () => {
    const { warnings } = readDocument({
      url: "http://a.test",
      nodes: [
        { interaction_action: { click_element: { command: 'get_by_role("a").evaluate("x")' } } },
        { condition: "exec('x')", if_nodes: [] },
      ],
    });
    expect(warnings).toEqual([
      expect.stringContaining(
        'node 1 (action_node), click_element: "evaluate" is not a locator method at character 18',
      ),
      expect.stringContaining('node 2 (if_else_node): "condition" "exec" may not be called at character 1'),
    ]);
  });
});

describe("the parameters of a task", () => {
  const declared = { input: { email: ["x"], full_name: ["y"] }, secure: { code: [] } };

  test("fit when they name exactly what is declared", () => {
    expect(inputProblems(declared, { full_name: [], email: ["a", 1, true, 2.5] })).toEqual([]);
    expect(inputProblems(declared, { email: Array.from({ length: 1_000 }, (_, at) => at), full_name: [""] })).toEqual(
      [],
    );
  });

  test.each<[unknown, string]>([
    [{ email: ["a"] }, "missing parameters: full_name"],
    [{ email: ["a"], full_name: ["b"], extra: [] }, "unknown parameters: extra (the automation has email, full_name)"],
    [{ email: "a", full_name: ["b"] }, '"email" must be a list, as in ["value"]'],
    [{ email: [null], full_name: [{}] }, 'the values of "email" must be texts'],
    [{ email: ["a"], full_name: ["b"], "a b": [] }, '"a b" is not a name'],
    [["a"], "must be an object of lists"],
    [null, "must be an object of lists"],
  ])("%j are refused", (input, problem) => {
    expect(inputProblems(declared, input).join("\n")).toContain(problem);
  });

  test("may hold secrets only in their own form", () => {
    expect(
      secureProblems(declared, { code: [{ totp: { totp_secret: "GEZDGNBVGY3TQOJQ" }, onepassword: null }] }),
    ).toEqual([]);
    expect(secureProblems(declared, { code: ["plain"] }).join()).toContain(
      'secure parameter "code" must be a list of objects',
    );
    expect(secureProblems(declared, {}).join()).toContain("missing parameters: code");
  });
});

function read(nodes: unknown[]): AutomationNode[] {
  return readDocument({ url: "http://a.test", nodes }).document.nodes;
}

function actionNodes(nodes: unknown[]): ActionNode[] {
  return read(nodes).filter((node) => node.type === "action_node");
}

function numbers(nodes: readonly AutomationNode[]): number[] {
  return nodes.flatMap((node) => {
    if (node.type === "if_else_node") return [node.number, ...numbers(node.ifNodes), ...numbers(node.elseNodes)];
    if (node.type === "for_loop_node") return [node.number, ...numbers(node.nodes), ...numbers(node.resetNodes)];
    return [node.number];
  });
}

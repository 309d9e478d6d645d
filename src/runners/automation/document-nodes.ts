import { conditionProblem } from "./condition.ts";
import { readAction } from "./document-actions.ts";
import type { ActionNode, AutomationNode, LoopNode } from "./document-model.ts";
import { FieldReader, isObject } from "./field-reader.ts";
import { commandProblem } from "./locator-command.ts";

const nodesMax = 5_000;
const depthMax = 20;
const identifier = /^[\p{L}_][\p{L}\p{N}_]*$/u;

/** Reads lists of nodes and numbers them in the order of the document. Problems and warnings are collected. */
export class NodeReader {
  readonly warnings: string[] = [];
  #count = 0;
  #depth = 0;

  constructor(readonly problems: string[]) {}

  read(list: unknown[]): AutomationNode[] {
    this.#depth += 1;
    const nodes = this.#depth > depthMax ? [] : list.flatMap((item) => this.#readNode(item) ?? []);
    if (this.#depth > depthMax) this.problems.push(`document: nodes are nested deeper than ${depthMax} levels`);
    this.#depth -= 1;
    return nodes;
  }

  #readNode(raw: unknown): AutomationNode | null {
    this.#count += 1;
    const number = this.#count;
    if (number > nodesMax) {
      if (number === nodesMax + 1) this.problems.push(`document: more than ${nodesMax} nodes`);
      return null;
    }
    if (!isObject(raw)) {
      this.problems.push(`node ${number}: must be an object`);
      return null;
    }
    const type: unknown = raw.type ?? typeByFields(raw);
    const fields = new FieldReader(this.problems, `node ${number} (${String(type)})`, raw);
    switch (type) {
      case "action_node":
        return this.#readActionNode(fields, number);
      case "for_loop_node":
        return this.#readLoop(fields, number);
      case "if_else_node":
        return this.#readChoice(fields, number);
      case "assert_locator_node":
        return this.#readAssert(fields, number);
      case "private_node":
        return { type, number, handler: fields.text("handler") };
      default:
        fields.problem("type", "is unknown");
        return null;
    }
  }

  #readActionNode(fields: FieldReader, number: number): ActionNode | null {
    const action = readAction(fields, number, (field, command) =>
      this.#checkCommand(`${fields.where}, ${field}`, command),
    );
    if (action === null) return null;
    const isExtraction = action.kind === "extraction";
    const isAssertion = fields.has("assertion_action");
    const expectNewTab = fields.flag("expect_new_tab", false);
    if (expectNewTab && !fields.has("interaction_action")) {
      fields.problem("expect_new_tab", "is only allowed for interaction actions");
    }
    return {
      type: "action_node",
      number,
      action,
      beforeSleepS: fields.number("before_sleep_time", { min: 0, max: 600, fallback: isExtraction ? 3 : 0 }),
      endSleepS: fields.number("end_sleep_time", { min: 0, max: 30, fallback: isExtraction || isAssertion ? 0 : 5 }),
      expectNewTab,
    };
  }

  #readLoop(fields: FieldReader, number: number): LoopNode {
    const variables = (fields.optionalText("variable_name") ?? "").split(",").map((name) => name.trim());
    const [first = "", ...others] = variables.filter((name) => name !== "");
    const locator = (fields.optionalText("locator") ?? "").trim();
    if ((first === "") === (locator === "")) fields.problem("variable_name", "or locator must be given, and not both");
    if (locator !== "") this.#checkCommand(fields.where, locator);
    const indexName = fields.text("index_variable_name", "index");
    const isTaken = [first, ...others, "index_of", ...(locator === "" ? [] : ["locator"])].includes(indexName);
    if (isTaken || !identifier.test(indexName)) fields.problem("index_variable_name", `must not be "${indexName}"`);
    const timeoutS = fields.number("locator_timeout", { min: 0, max: 600, fallback: 5 });
    return {
      type: "for_loop_node",
      number,
      over: locator === "" ? { variables: [first, ...others] } : { locator, timeoutS },
      indexName,
      iterationsMax: fields.has("max_iterations") ? fields.whole("max_iterations", { min: 1, max: 1_000_000 }) : null,
      onError: fields.oneOf("on_error_in_loop", ["raise", "continue", "break"], "raise"),
      nodes: this.read(fields.list("nodes", true)),
      resetNodes: this.read(fields.list("reset_nodes", false)),
    };
  }

  #readChoice(fields: FieldReader, number: number): AutomationNode {
    const condition = fields.text("condition");
    const problem = conditionProblem(condition);
    if (problem !== null) this.warnings.push(`${fields.where}: "condition" ${problem}`);
    return {
      type: "if_else_node",
      number,
      condition,
      ifNodes: this.read(fields.list("if_nodes", true)),
      elseNodes: this.read(fields.list("else_nodes", false)),
    };
  }

  #readAssert(fields: FieldReader, number: number): AutomationNode {
    const locator = fields.text("locator");
    this.#checkCommand(fields.where, locator);
    return {
      type: "assert_locator_node",
      number,
      locator,
      assertion: fields.oneOf("assertion", ["to_be_visible", "to_be_hidden"]),
      outputName: fields.optionalText("output_variable_name") ?? `node${number}_output`,
      timeoutS: fields.number("timeout", { min: 0, max: 600, fallback: 5 }),
    };
  }

  #checkCommand(where: string, command: string): void {
    const problem = commandProblem(command);
    if (problem !== null) this.warnings.push(`${where}: ${problem} in ${command.slice(0, 200)}`);
  }
}

/** The old form of a node has no `type` and is told apart by its fields. */
function typeByFields(raw: Record<string, unknown>): string {
  if ("condition" in raw) return "if_else_node";
  if ("variable_name" in raw) return "for_loop_node";
  if ("locator" in raw && "assertion" in raw) return "assert_locator_node";
  if ("locator" in raw && "nodes" in raw) return "for_loop_node";
  return "action_node";
}

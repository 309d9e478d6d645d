import { readElement } from "./document-elements.ts";
import { readExtraction } from "./document-extraction.ts";
import type { Action, CheckCommand, PageAction } from "./document-model.ts";
import type { FieldReader } from "./field-reader.ts";
import { other, unsupported } from "./other-action.ts";

const actionFields = [
  "interaction_action",
  "extraction_action",
  "assertion_action",
  "misc_action",
  "sleep_action",
  "fail_state_action",
  "human_in_loop_action",
  "python_script_action",
  "powershell_action",
  "captcha_action",
] as const;
const elementNames = [
  "click_element",
  "input_text",
  "select_option",
  "check",
  "uncheck",
  "hover",
  "upload_file",
] as const;
const pageNames = [
  "key_press",
  "scroll",
  "go_to_url",
  "go_back",
  "switch_tab",
  "close_current_tab",
  "close_all_but_last_tab",
  "close_tabs_until",
  "download_url_as_pdf",
] as const;
const modelNames = ["agentic_task", "close_overlay_popup"] as const;

/** Reads the one action of an action node; null, with problems noted, when it is not exactly one. */
export function readAction(fields: FieldReader, number: number, check: CheckCommand): Action | null {
  const field = fields.only(actionFields);
  if (field === null) return null;
  const inner = fields.object(field);
  switch (field) {
    case "interaction_action":
      return readInteraction(inner, check);
    case "extraction_action":
      return readExtraction(inner, number, check);
    case "assertion_action":
      return readAssertion(inner);
    case "misc_action":
      return readMisc(inner, check);
    case "sleep_action":
      return other({ name: field, seconds: inner.number("sleep_time", { min: 0, max: 3_600 }) });
    case "fail_state_action": {
      const message = inner.text("failure_message", "Automation completed at one of the failure states.");
      return other({ name: field, message });
    }
    case "human_in_loop_action":
      return other({ name: field, waitMaxS: inner.number("max_wait_time", { min: 0.001, max: 600 }) });
    case "python_script_action":
      return unsupported(field, "a Python interpreter, and scripts of a document are never run");
    case "powershell_action":
      return unsupported(field, "a PowerShell, and scripts of a document are never run");
    case "captcha_action":
      return unsupported(field, "a service that solves captchas");
  }
}

function readInteraction(fields: FieldReader, check: CheckCommand): Action | null {
  const name = fields.only([...elementNames, ...pageNames, ...modelNames]);
  if (name === null) return null;
  const inner = fields.object(name);
  const model = modelNames.find((candidate) => candidate === name);
  if (model !== undefined) return unsupported(model, "a language model");
  const page = pageNames.find((candidate) => candidate === name);
  if (page !== undefined) return { kind: "page", page: readPageAction(inner, page) };
  const element = elementNames.find((candidate) => candidate === name);
  return element === undefined
    ? null
    : { kind: "element", element: readElement(fields, inner, { name: element, check }) };
}

function readPageAction(fields: FieldReader, name: PageAction["name"]): PageAction {
  switch (name) {
    case "key_press":
      return { name, keys: typeof fields.raw.type === "string" ? [fields.text("type")] : fields.texts("type") };
    case "scroll":
      return {
        name,
        down: fields.flag("down", true),
        amount: fields.whole("amount", { min: -1, max: 10_000_000, fallback: -1 }),
      };
    case "go_to_url":
      return { name, url: fields.text("url"), newTab: fields.flag("new_tab", false) };
    case "switch_tab":
      return { name, tabIndex: fields.whole("tab_index", { min: -1_000, max: 1_000 }) };
    case "close_tabs_until":
      fields.only(["matching_url", "tab_index"]);
      return {
        name,
        matchingUrl: fields.optionalText("matching_url"),
        tabIndex: fields.has("tab_index") ? fields.whole("tab_index", { min: 0, max: 1_000 }) : null,
      };
    case "download_url_as_pdf":
      return { name, downloadFilename: fields.optionalText("download_filename"), url: fields.optionalText("url") };
    default:
      return { name };
  }
}

function readAssertion(fields: FieldReader): Action | null {
  const name = fields.only(["network_call", "llm", "python_script"]);
  if (name === null) return null;
  if (name === "llm") return unsupported("assertion_action.llm", "a language model");
  if (name === "python_script") {
    return unsupported(
      "assertion_action.python_script",
      "a Python interpreter, and scripts of a document are never run",
    );
  }
  const inner = fields.object(name);
  return other({
    name: "assert_network_call",
    urlPattern: inner.optionalText("url_pattern"),
    headerFilter: inner.textMap("header_filter"),
  });
}

function readMisc(fields: FieldReader, check: CheckCommand): Action | null {
  const name = fields.only(["set_variable", "count_locator", "llm_query"]);
  if (name === null) return null;
  if (name === "llm_query") return unsupported("misc_action.llm_query", "a language model");
  const inner = fields.object(name);
  const outputName = inner.optionalText("output_variable_name");
  if (name === "count_locator") {
    const locator = inner.text("locator");
    check(name, locator);
    const timeoutS = inner.number("locator_timeout", { min: 0, max: 600, fallback: 5 });
    return other({ name, locator, variable: inner.text("name"), timeoutS, outputName });
  }
  inner.only(["value", "expression"]);
  const value = inner.raw.value ?? null;
  if (value !== null && !["string", "number", "boolean"].includes(typeof value)) {
    inner.problem("value", "must be a text, a number, true or false");
  }
  const expression = inner.optionalText("expression");
  return other({ name, variable: inner.text("name"), value: value as string | null, expression, outputName });
}

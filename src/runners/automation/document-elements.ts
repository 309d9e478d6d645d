import type { CheckCommand, ElementAction, Target } from "./document-model.ts";
import type { FieldReader } from "./field-reader.ts";

type ElementFields = ElementAction extends infer T ? (T extends unknown ? Omit<T, "target" | "tries"> : never) : never;

/** Reads an action on one element: `inner` is its own object, `fields` the `interaction_action` around it. */
export function readElement(
  fields: FieldReader,
  inner: FieldReader,
  { name, check }: { name: ElementAction["name"]; check: CheckCommand },
): ElementAction {
  const target = readTarget(inner);
  if (target.command !== null && !target.skipCommand) check(name, target.command);
  const max = fields.whole("max_tries", { min: 0, max: 1_000, fallback: 10 });
  const perTryS = fields.number("max_timeout_seconds_per_try", { min: 0.001, max: 600, fallback: 1 });
  const tries = { max: max === 0 ? (target.skipPrompt ? 5 : 1) : max, perTryS };
  return { target, tries, ...readElementFields(inner, name) };
}

function readElementFields(fields: FieldReader, name: ElementAction["name"]): ElementFields {
  switch (name) {
    case "click_element":
      return {
        name,
        doubleClick: fields.flag("double_click", false),
        button: fields.oneOf("button", ["left", "right", "middle"], "left"),
        force: fields.flag("force", false),
        mouseClick: fields.flag("mouse_click", false),
        ...readDownload(fields),
      };
    case "input_text":
      return {
        name,
        text: fields.optionalText("input_text"),
        how: fields.oneOf("fill_or_type", ["fill", "type", "key_press"], "fill"),
        pressEnter: fields.flag("press_enter", false),
        clickFirst: fields.flag("click_before_input", false),
        isSlider: fields.flag("is_slider", false),
      };
    case "select_option":
      return { name, values: fields.texts("select_values"), ...readDownload(fields) };
    case "upload_file":
      fields.only(["file_path", "file_url"]);
      return { name, filePath: fields.optionalText("file_path"), fileUrl: fields.optionalText("file_url") };
    default:
      return { name };
  }
}

function readDownload(fields: FieldReader): { expectDownload: boolean; downloadFilename: string | null } {
  return {
    expectDownload: fields.flag("expect_download", false),
    downloadFilename: fields.optionalText("download_filename"),
  };
}

function readTarget(fields: FieldReader): Target {
  const command = (fields.optionalText("command") ?? "").trim();
  const xpath = (fields.optionalText("xpath") ?? "").trim();
  if (command !== "" && xpath !== "") fields.problem("xpath", "must not be given together with command");
  return {
    command: command === "" ? null : command,
    xpath: xpath === "" ? null : xpath,
    prompt: fields.optionalText("prompt_instructions"),
    skipCommand: fields.flag("skip_command", false),
    skipPrompt: fields.flag("skip_prompt", false),
    assertPresence: fields.flag("assert_locator_presence", false),
  };
}

import type { Action, ApiCall, CheckCommand, Extraction } from "./document-model.ts";
import { type FieldReader, isObject } from "./field-reader.ts";
import { unsupported } from "./other-action.ts";

const names = [
  "locator",
  "network_call",
  "api_call",
  "screenshot",
  "state",
  "python_script",
  "llm",
  "vision",
  "pdf",
  "ocr_coordinates",
  "two_fa_action",
] as const;
const needs: Partial<Record<(typeof names)[number], string>> = {
  python_script: "a Python interpreter, and scripts of a document are never run",
  llm: "a language model",
  vision: "a language model that sees",
  pdf: "a language model",
  ocr_coordinates: "text recognition",
  two_fa_action: "access to the mailbox or telephone that gets the code",
};
const sources = ["request", "response"] as const;

/** Reads the one extraction of an `extraction_action`; null, with problems noted, when it is not exactly one. */
export function readExtraction(fields: FieldReader, number: number, check: CheckCommand): Action | null {
  const name = fields.only(names);
  if (name === null) return null;
  const need = needs[name];
  if (need !== undefined) return unsupported(`extraction_action.${name}`, need);
  const common = { identifier: fields.optionalText("unique_identifier"), allowNone: fields.flag("allow_none", false) };
  const extraction = readOne(fields.object(name), name, { number, check });
  return { kind: "extraction", extraction: { ...common, ...extraction } };
}

type One = Extraction extends infer T ? (T extends unknown ? Omit<T, "identifier" | "allowNone"> : never) : never;

function readOne(fields: FieldReader, name: string, node: { number: number; check: CheckCommand }): One {
  switch (name) {
    case "locator": {
      const command = fields.text("command");
      node.check(name, command);
      return { name, command, outputName: readOutputName(fields, node.number) };
    }
    case "network_call":
      return readNetworkCall(fields);
    case "api_call":
      return readApiCall(fields);
    case "screenshot":
      return { name, filename: fields.text("filename"), fullPage: fields.flag("full_page", true) };
    default:
      return { name: "state" };
  }
}

/** Without a name the value is stored as `node{n}_output`; the format then describes exactly that one field. */
function readOutputName(fields: FieldReader, number: number): string {
  const name = fields.optionalText("output_variable_name");
  const format = fields.object("extraction_format").raw;
  const described = Object.keys(format);
  if (name === null && described.length > 1) {
    fields.problem("extraction_format", "must describe one field when output_variable_name is left out");
  }
  if (name !== null && described.length > 0 && !described.includes(name)) {
    fields.problem("output_variable_name", `"${name}" is not in extraction_format`);
  }
  return name ?? `node${number}_output`;
}

function readNetworkCall(fields: FieldReader): One {
  const source = (field: string) => (fields.has(field) ? fields.oneOf(field, sources) : null);
  return {
    name: "network_call",
    urlPattern: fields.optionalText("url_pattern"),
    // An explicit null asks for a download alone.
    extractFrom: fields.raw.extract_from === undefined ? "response" : source("extract_from"),
    downloadFrom: source("download_from"),
    downloadFilename: fields.optionalText("download_filename"),
  };
}

function readApiCall(fields: FieldReader): ApiCall {
  const body = fields.raw.body ?? null;
  if (body !== null && typeof body !== "string" && !isObject(body)) {
    fields.problem("body", "must be an object or a text");
  }
  return {
    name: "api_call",
    url: fields.text("url"),
    method: fields.oneOf("method", ["GET", "POST", "PUT", "PATCH", "DELETE"], "GET"),
    headers: fields.textMap("headers"),
    body: typeof body === "string" || isObject(body) ? body : null,
    queryParams: fields.textMap("query_params"),
    outputNames: fields.texts("output_variable_names", ["api_result"]),
    timeoutS: fields.number("timeout", { min: 0.001, max: 600, fallback: 30 }),
    pollCondition: fields.optionalText("poll_condition"),
    pollIntervalS: fields.number("poll_interval", { min: 0, max: 600, fallback: 5 }),
    pollAttemptsMax: fields.whole("max_poll_attempts", { min: 1, max: 10_000, fallback: 10 }),
  };
}

import { createHash } from "node:crypto";
import { parsePythonJson, pythonJson } from "../../runners/automation/python-json.ts";
import { isFields } from "./field-checks.ts";

const plainCharsMax = 1_000;

/**
 * The key of a task, byte for byte as Python's `json.dumps(unique_parameters, sort_keys=True)` writes it; a random UUID without unique names.
 * `bodyText` is the JSON the parameters came in, since `1.0` and `1` are different keys.
 */
export function dedupKeyOf(uniqueNames: readonly string[], bodyText: string): string {
  if (uniqueNames.length === 0) return crypto.randomUUID();
  const body = parsePythonJson(bodyText);
  const input = isFields(body) && isFields(body.input_parameters) ? body.input_parameters : {};
  return pythonJson(Object.fromEntries(uniqueNames.map((name) => [name, input[name]])));
}

/** What the engine compares: the key of this endpoint, shortened where an index could not hold it. */
export function engineDedupKey(endpointName: string, dedupKey: string): string {
  const key = `${endpointName}:${dedupKey}`;
  if (key.length <= plainCharsMax && !key.includes("\0")) return `optexity:${key}`;
  return `optexity:sha256:${createHash("sha256").update(key).digest("hex")}`;
}

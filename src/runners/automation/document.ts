import type { AutomationDocument, Scalar, SecureParameter } from "./document-model.ts";
import { NodeReader } from "./document-nodes.ts";
import { FieldReader, isObject } from "./field-reader.ts";

/** The document cannot be used: every problem, each with its node's number and field. */
export class AutomationDocumentError extends Error {
  override readonly name = "AutomationDocumentError";
  constructor(readonly problems: string[]) {
    super(
      `The automation document has ${problems.length} problem${problems.length === 1 ? "" : "s"}: ${summary(problems)}`,
    );
  }
}

/** Names that the runner fills itself. */
export const reservedNames = ["current_page_url", "current_time", "task_id"] as const;
const shownMax = 10;
const identifier = /^[\p{L}_][\p{L}\p{N}_]*$/u;

/**
 * Validates a control plane's automation document. Nodes that need a language model are accepted; `warnings` names
 * locator commands and conditions that cannot be read, whose nodes will fail when they are reached.
 * Throws `AutomationDocumentError`.
 */
export function readDocument(raw: unknown): { document: AutomationDocument; warnings: string[] } {
  if (!isObject(raw)) throw new AutomationDocumentError(["the document must be a JSON object"]);
  const problems: string[] = [];
  const fields = new FieldReader(problems, "document", raw);
  const nodes = new NodeReader(problems);
  const document: AutomationDocument = {
    url: fields.text("url"),
    parameters: readParameters(fields.object("parameters")),
    nodes: nodes.read(fields.list("nodes", true)),
    postProcessingNodes: nodes.read(fields.list("post_processing_nodes", false)),
    maxRetries: fields.whole("max_retries", { min: 0, max: 100, fallback: 0 }),
    expectedDownloads: fields.whole("expected_downloads", { min: 0, max: 10_000, fallback: 0 }),
    takeFinalScreenshot: fields.flag("take_final_screenshot", true),
    browserChannel: fields.text("browser_channel", "chromium"),
  };
  if (problems.length > 0) throw new AutomationDocumentError(problems);
  return { document, warnings: nodes.warnings };
}

/** What is wrong with the name of a parameter, or null. */
export function parameterNameProblem(name: string): string | null {
  if ((reservedNames as readonly string[]).includes(name)) return `the name "${name}" is reserved`;
  return identifier.test(name) ? null : `"${name}" is not a name (letters, digits and _, no digit first)`;
}

function readParameters(fields: FieldReader): AutomationDocument["parameters"] {
  return {
    input: readLists(fields, "input_parameters", (value) => (isScalar(value) ? value : undefined)),
    secure: readLists(fields, "secure_parameters", readSecureParameter),
    generated: readLists(fields, "generated_parameters", (value) =>
      isScalar(value) || value === null ? value : undefined,
    ),
  };
}

function readLists<T>(fields: FieldReader, name: string, read: (value: unknown) => T | undefined): Record<string, T[]> {
  const lists = fields.object(name);
  const out: Record<string, T[]> = {};
  for (const [key, values] of Object.entries(lists.raw)) {
    const wrongName = parameterNameProblem(key);
    if (wrongName !== null) lists.problems.push(`${lists.where}: ${wrongName}`);
    if (!Array.isArray(values)) {
      lists.problem(key, "must be a list");
      continue;
    }
    const items = values.map(read);
    if (items.includes(undefined)) lists.problem(key, "has a value of the wrong kind");
    out[key] = items.filter((item) => item !== undefined);
  }
  return out;
}

/** One secure value: exactly one of `totp`, `onepassword`, `amazon_secrets_manager`. Undefined when it is neither. */
export function readSecureParameter(value: unknown): SecureParameter | undefined {
  if (!isObject(value)) return undefined;
  const given = Object.entries(value).filter(([, item]) => item !== null && item !== undefined);
  const [kind, item] = given.length === 1 ? (given[0] ?? []) : [];
  if (kind === "onepassword" || kind === "amazon_secrets_manager") return { kind: "vault", vault: kind };
  if (kind !== "totp" || !isObject(item) || typeof item.totp_secret !== "string") return undefined;
  const digits = item.digits ?? 6;
  if (typeof digits !== "number" || !Number.isInteger(digits) || digits < 4 || digits > 10) return undefined;
  return { kind: "totp", secret: item.totp_secret, digits };
}

function isScalar(value: unknown): value is Scalar {
  return (
    typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))
  );
}

function summary(problems: string[]): string {
  const more = problems.length > shownMax ? `; and ${problems.length - shownMax} more` : "";
  return problems.slice(0, shownMax).join("; ") + more;
}

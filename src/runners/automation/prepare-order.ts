import { existsSync } from "node:fs";
import type { Failure, RunRequest } from "../contract.ts";
import { type AutomationCatalog, type CatalogEntry, declaredParameters } from "./catalog.ts";
import { AutomationDocumentError, readDocument } from "./document.ts";
import type { ParameterLists, SecureParameter } from "./document-model.ts";
import { isObject } from "./field-reader.ts";
import type { TaskOrder } from "./messages.ts";
import { type DeclaredParameters, inputProblems, readSecureParameters, secureProblems } from "./parameters.ts";
import { type OpenSealed, withSecrets } from "./sealed-secrets.ts";

/** An order that still needs its directory. */
export type Preparation = { order: Omit<TaskOrder, "directory">; warnings: string[] } | { failure: Failure };

type Work = { work: TaskOrder["work"]; declared: DeclaredParameters; isShipped: boolean; warnings: string[] };

const shownMax = 10;
const mebibyte = 1_048_576;
const fileMbDefault = 4_096;
const outputMbDefault = 10;

/**
 * Turns a request into the order for a browser process, or says why it cannot be run.
 * `target` names an automation of the catalog; `options.automation` is a document that is run instead of it.
 * `input` is the map of lists; `options.task` holds further fields of an Optexity Task: `task_id`, and `sealed` or open
 * `secure_parameters`.
 */
export function prepareOrder(
  request: RunRequest,
  catalog: AutomationCatalog,
  settings: { nonce: number; navigationTimeoutMs: number; openSealed: OpenSealed },
): Preparation {
  const options = withSecrets(request.options, settings.openSealed);
  if (options === null) return sealedElsewhere;
  const work = workOf(request.target, options, catalog);
  if ("failure" in work) return work;
  const task = isObject(options.task) ? options.task : {};
  const input = request.input ?? {};
  const secure = task.secure_parameters ?? null;
  const problems = [
    ...inputProblems(work.declared, input),
    ...(secure === null ? [] : secureProblems(work.declared, secure)),
  ];
  if (problems.length > 0) return invalid(problems.slice(0, shownMax).join("; "));
  const { pagesDirectory } = catalog.current;
  const order: Omit<TaskOrder, "directory"> = {
    kind: "run",
    nonce: settings.nonce,
    taskId: typeof task.task_id === "string" ? task.task_id : request.jobId,
    attempt: request.attempt,
    traceparent: request.traceparent,
    work: work.work,
    input: input as ParameterLists,
    secure: secureOf(work.declared, secure),
    uploadDirectories: existsSync(catalog.directory) ? [catalog.directory] : [],
    pagesDirectory: work.isShipped ? pagesDirectory : null,
    navigationTimeoutMs: settings.navigationTimeoutMs,
    fileBytesMax: (request.limits.fileMb ?? fileMbDefault) * mebibyte,
    outputBytesMax: (request.limits.outputMb ?? outputMbDefault) * mebibyte,
  };
  return { order, warnings: work.warnings };
}

const sealedElsewhere = {
  failure: {
    code: "runner_error",
    message:
      "its secure parameters were sealed with a key that this node does not have: give SECRET_KEY the same value on every node, and keep the earlier one behind it",
  },
} as const;

function workOf(
  target: string,
  options: Record<string, unknown>,
  catalog: AutomationCatalog,
): Work | { failure: Failure } {
  const inline = options.automation ?? null;
  if (inline !== null) return inlineWork(inline);
  const entry = catalog.current.entries.get(target);
  if (entry !== undefined)
    return { ...shippedWork(entry), declared: declaredParameters(entry), isShipped: true, warnings: [] };
  const problem = catalog.current.problems.get(target);
  if (problem !== undefined) return invalid(`the automation "${target}" cannot be used: ${problem}`);
  const names = [...catalog.current.entries.keys()].slice(0, shownMax).join(", ");
  return invalid(`there is no automation "${target}"; there are ${names || "none"} (AUTOMATIONS_DIR)`);
}

function inlineWork(inline: unknown): Work | { failure: Failure } {
  try {
    const { document, warnings } = readDocument(inline);
    const { input, secure } = document.parameters;
    return { work: { kind: "document", document }, declared: { input, secure }, isShipped: false, warnings };
  } catch (fault) {
    if (fault instanceof AutomationDocumentError) return invalid(fault.message);
    throw fault;
  }
}

function shippedWork(entry: CatalogEntry): { work: TaskOrder["work"] } {
  if (entry.kind === "script") return { work: { kind: "script", file: entry.file } };
  return { work: { kind: "document", document: entry.document } };
}

/** What the task hands over, else what the document itself says. */
function secureOf(declared: DeclaredParameters, given: unknown): Record<string, SecureParameter[]> {
  return given === null ? declared.secure : readSecureParameters(given as Record<string, unknown[]>);
}

function invalid(message: string): { failure: Failure } {
  return { failure: { code: "invalid", message } };
}

import { type Answer, modes, type Mode, priorityMax, refusal, type TaskRequest, texts } from "./wire.ts";

export type WorkerFacts = {
  contract: number;
  /** Whether the function exists and can stream; null when there is none of that name. */
  lookUp(name: string): { supportsStreaming: boolean } | null;
};

type Checked = { ok: true; task: TaskRequest } | { ok: false; answer: Answer };

/**
 * The checks of `POST /task` after authorisation and maintenance, in the original's order. A missing `contract` means the
 * worker's own, as in the document's prose; `null` counts as given.
 */
export function checkTask(body: unknown, worker: WorkerFacts): Checked {
  // Like the original's body parser, which leaves an empty object for anything that is not one.
  const given: Record<string, unknown> =
    typeof body === "object" && body !== null && !Array.isArray(body) ? { ...body } : {};
  const refused = (status: number, error: string): Checked => ({ ok: false, answer: refusal(status, error) });

  const priority = given["priority"] === undefined ? 1 : Number(given["priority"]);
  if (!(priority >= 1 && priority <= priorityMax)) return refused(400, texts.priority);
  const name = given["function"];
  if (typeof name !== "string" || name === "") return refused(400, texts.functionName);
  const contract = given["contract"] === undefined ? worker.contract : given["contract"];
  if (typeof contract !== "number" || contract === 0) return refused(400, texts.contract);
  if (contract !== worker.contract) return refused(400, texts.mismatch(contract, worker.contract));
  if (given["input"] !== undefined && typeof given["input"] !== "object") return refused(400, texts.input);
  const mode = given["mode"] ? given["mode"] : "sync";
  if (!isMode(mode)) return refused(400, texts.mode);
  const found = worker.lookUp(name);
  if (found === null) return refused(404, texts.unknown(name));
  if (mode === "stream" && !found.supportsStreaming) return refused(400, texts.noStreaming(name));
  const webhook = mode === "webhook" ? readWebhook(given["webhook"]) : null;
  if (mode === "webhook" && webhook === null) return refused(400, texts.webhookUrl);
  // The engine counts in whole numbers; the original also takes fractions.
  return {
    ok: true,
    task: { function: name, input: given["input"] ?? {}, priority: Math.floor(priority), mode, webhook },
  };
}

function isMode(value: unknown): value is Mode {
  return modes.some((mode) => mode === value);
}

function readWebhook(value: unknown): { url: string; headers?: unknown } | null {
  if (typeof value !== "object" || value === null || !("url" in value)) return null;
  if (typeof value.url !== "string" || value.url === "") return null;
  return "headers" in value && value.headers != null ? { url: value.url, headers: value.headers } : { url: value.url };
}

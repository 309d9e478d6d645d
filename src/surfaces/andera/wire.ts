/**
 * The words of the Andera base worker. Source: https://andera.top, "Base Worker › Usage", and its code where the document is silent.
 * The texts are what its clients and its load balancer compare; they are kept letter by letter.
 */

export const modes = ["sync", "stream", "webhook"] as const;
export type Mode = (typeof modes)[number];

/** A `/task` body that passed every check. */
export type TaskRequest = {
  function: string;
  input: unknown;
  priority: number;
  mode: Mode;
  webhook: { url: string; headers?: unknown } | null;
};

/** An answer that ends the exchange: status and JSON body. */
export type Answer = { status: number; body: unknown };

export const priorityMax = 2_097_152;

export const texts = {
  unauthorized: "Unauthorized",
  maintenance: "Worker is in maintenance mode",
  priority: `Invalid priority: must be between 1 and ${priorityMax}`,
  functionName: "Missing or invalid function name",
  contract: "Missing or invalid contract",
  mismatch: (asked: number, own: number) => `Contract version mismatch: requested ${asked}, worker is ${own}`,
  input: "Invalid input: must be an object",
  mode: "Invalid mode",
  unknown: (name: string) => `Function '${name}' not found`,
  noStreaming: (name: string) => `Function '${name}' does not support streaming`,
  webhookUrl: "Missing or invalid webhook.url for mode webhook",
  accepted: "Task accepted, result will be sent to webhook",
} as const;

export function refusal(status: number, error: string): Answer {
  return { status, body: { error } };
}

export function failure(error: string): Answer {
  return { status: 500, body: { success: false, error } };
}

/** The words that the real orchestrator server knows; any other breaks its poll. */
const words = [
  "Queued",
  "Processing",
  "Submitted",
  "Prepared",
  "Running",
  "Cleaned",
  "Completed",
  "Failed",
  "Invalid",
  "Unknown",
  "Locked",
  "Killed",
];

export type StrictPayload = {
  id: number;
  status: string;
  loc: string;
  input: Record<string, number[]>;
  pid: number;
  killed: boolean;
};

/** Decodes as the real server does: a missing field, a wrong type or an unknown status is an error. */
export function decodePayload(value: unknown): StrictPayload {
  if (typeof value !== "object" || value === null) throw new Error("a payload must be an object");
  const { id, status, loc, input, pid, killed } = value as Record<string, unknown>;
  if (typeof id !== "number" || !Number.isInteger(id) || id < 0) throw new Error(`id is ${String(id)}`);
  if (typeof status !== "string" || !words.includes(status)) throw new Error(`status is ${String(status)}`);
  if (typeof loc !== "string") throw new Error(`loc is ${String(loc)}`);
  if (typeof input !== "object" || input === null || Array.isArray(input)) throw new Error(`input is ${String(input)}`);
  if (typeof pid !== "number" || typeof killed !== "boolean") throw new Error("pid or killed is missing");
  return { id, status, loc, input: input as Record<string, number[]>, pid, killed };
}

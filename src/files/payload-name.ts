import { EngineError } from "../errors.ts";

/** A payload's id as a path segment. Only a positive integer passes; anything else is `not_found`. */
export function payloadName(payloadId: number): string {
  if (Number.isSafeInteger(payloadId) && payloadId > 0) return String(payloadId);
  throw new EngineError("not_found", `There is no payload ${payloadId}`);
}

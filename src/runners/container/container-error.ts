import type { Failure } from "../contract.ts";

const reasonCharsMax = 4_000;

/** The failure of a link: which container, and why, in words that may be shown to the caller. */
export function containerError(id: string, reason: string): Failure {
  const text = reason.length > reasonCharsMax ? `${reason.slice(0, reasonCharsMax)}…` : reason;
  return { code: "container_error", message: `container "${id}": ${text}` };
}

import { ApiError, ConnectionError } from "../client.ts";
import { CommandError } from "./usage-error.ts";

const unreachableFix =
  "Start a service with `fairlead serve`, or name another one with --url or FAIRLEAD_URL; `fairlead doctor` checks this machine.";

/** What is told of something that went wrong as things do, with what to do about it; null for faults of the program itself. */
export function faultText(fault: unknown): string | null {
  if (fault instanceof CommandError) return fault.message;
  if (fault instanceof ConnectionError) return `${fault.message}\n${unreachableFix}`;
  return fault instanceof ApiError ? refusalText(fault) : null;
}

function refusalText(fault: ApiError): string {
  const problems = fault.problems.length > 1 ? fault.problems : [];
  const fix = fault.status === 401 ? "Give a key by FAIRLEAD_KEY, or in a file by --key-file." : "";
  const later = fault.retryAfterSeconds === null ? "" : `Try again in ${fault.retryAfterSeconds} s.`;
  const lines = problems.map(({ pointer, detail }) => `  ${pointer || "/"} ${detail}`);
  return [fault.message, ...lines, fix, later].filter((line) => line !== "").join("\n");
}

import { codeOf } from "./client.ts";

/** When to come back. */
export const outageRetryS = 2;

const reasons: Readonly<Record<string, string>> = {
  "53100": "The database's disk is full: free some space",
  "53200": "The database has no memory left",
  "53300": "The database has no connection left: raise its max_connections",
  "25006": "The database is read-only for the moment",
};

/** What a passing fault means, in words that a caller may read. */
export function outageText(fault: unknown): string {
  return reasons[codeOf(fault) ?? ""] ?? "The database is away for the moment";
}

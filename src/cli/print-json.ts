import type { Terminal } from "./terminal.ts";

/** Prints a value as JSON; resolves with the exit code 0. */
export async function printJson(terminal: Terminal, value: unknown): Promise<number> {
  await terminal.out(`${JSON.stringify(value, null, 2)}\n`);
  return 0;
}

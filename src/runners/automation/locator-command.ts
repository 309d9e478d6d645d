import { type LocatorChain, parseLocator } from "./locator-parse.ts";
import { expandOutsideStrings } from "./python-string.ts";
import { PythonSyntaxError } from "./python-syntax-error.ts";

const placeholder = /^[\p{L}_][\p{L}\p{N}_]*(?:\[[^\]]*\])?(?:\.[\w.[\]]+)?$/u;

/**
 * Parses a command that holds placeholders. Outside of strings they are expanded as text, since they may stand for a
 * whole locator or a number; inside strings they are filled after parsing, so that a value cannot become syntax.
 * `fill` gives a text with its placeholders replaced. Throws `PythonSyntaxError`.
 */
export function parseCommand(command: string, fill: (text: string) => string): LocatorChain {
  const expanded = expandOutsideStrings(command, (inner) => (placeholder.test(inner) ? fill(`{${inner}}`) : null));
  return parseLocator(expanded, fill);
}

/** Why a command cannot be read whatever its placeholders stand for, or null. */
export function commandProblem(command: string): string | null {
  try {
    parseCommand(command, (text) =>
      text.replaceAll(/^\{locator\[[^\]]*\]\}$/g, 'locator("*")').replaceAll(/^\{.*\}$/gs, "0"),
    );
    return null;
  } catch (fault) {
    // A placeholder may stand for a whole command of its own; only the run can tell.
    if (fault instanceof PythonSyntaxError) return /^\s*\{/.test(command) ? null : fault.message;
    throw fault;
  }
}
